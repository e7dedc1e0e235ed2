/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Suspend and resume for virtio_console.c, which includes this file.
 *
 * Whoever uses a queue holds a spinlock, which makes him one whom synchronize_rcu()
 * waits for: he asks first whether the device is being suspended.
 */
#include <linux/rcupdate.h>
#include <linux/virtio_suspend.h>

static int add_inbuf(struct virtqueue *vq, struct port_buffer *buf);
static void remove_port(struct kref *kref);
static void remove_vqs(struct ports_device *portdev);
static ssize_t send_control_msg(struct port *port, unsigned int event, unsigned int value);
static int virtcons_probe(struct virtio_device *vdev);
static void virtcons_remove(struct virtio_device *vdev);
static int virtcons_freeze(struct virtio_device *vdev);
static int virtcons_restore(struct virtio_device *vdev);
static void config_intr(struct virtio_device *vdev);

enum virtcons_suspend_kind {
	/* Emptied, to be made available to receive after the suspend. */
	VIRTCONS_EMPTY,
	/* Received before a reset, and not yet read. */
	VIRTCONS_RECEIVED,
	/* Not sent before a reset. */
	VIRTCONS_UNSENT,
};

/* A buffer that is kept out of the queues. */
struct virtcons_suspend_kept {
	struct list_head list;
	enum virtcons_suspend_kind kind;
	struct ports_device *portdev;
	/* Holds a reference. */
	struct port *port;
	struct port_buffer *buf;
};

static LIST_HEAD(virtcons_suspend_kept);
static DEFINE_SPINLOCK(virtcons_suspend_kept_lock);

/* Some device was not told of a port's change. From then on each is told after each suspend. */
static bool virtcons_suspend_unsaid;

/* True when the queues of a port are gone, for a while or for good. */
static bool virtcons_suspend_away(struct port *port)
{
	struct ports_device *portdev = READ_ONCE(port->portdev);

	return portdev && virtio_suspend_away(portdev->vdev);
}

/* True when nothing may be sent now. */
static bool virtcons_suspend_held(struct port *port)
{
	struct ports_device *portdev = READ_ONCE(port->portdev);

	return portdev && virtio_suspend_held(portdev->vdev);
}

/* Takes the buffer over, and frees it if there is no memory to remember it. */
static void virtcons_suspend_put(struct port *port, enum virtcons_suspend_kind kind,
				 struct port_buffer *buf)
{
	struct virtcons_suspend_kept *kept = kmalloc(sizeof(*kept), GFP_ATOMIC);
	unsigned long flags;

	if (!kept) {
		free_buf(buf, false);
		return;
	}
	kref_get(&port->kref);
	kept->kind = kind;
	kept->portdev = port->portdev;
	kept->port = port;
	kept->buf = buf;
	spin_lock_irqsave(&virtcons_suspend_kept_lock, flags);
	list_add_tail(&kept->list, &virtcons_suspend_kept);
	spin_unlock_irqrestore(&virtcons_suspend_kept_lock, flags);
}

/* The oldest of a kind, of a device or of one of its ports. To be forgotten by the caller. */
static struct virtcons_suspend_kept *virtcons_suspend_take(struct ports_device *portdev,
							   struct port *port,
							   enum virtcons_suspend_kind kind)
{
	struct virtcons_suspend_kept *kept, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&virtcons_suspend_kept_lock, flags);
	list_for_each_entry(kept, &virtcons_suspend_kept, list) {
		if (kept->portdev == portdev && kept->kind == kind &&
		    (!port || kept->port == port)) {
			list_del(&kept->list);
			found = kept;
			break;
		}
	}
	spin_unlock_irqrestore(&virtcons_suspend_kept_lock, flags);
	return found;
}

static void virtcons_suspend_forget(struct virtcons_suspend_kept *kept)
{
	kref_put(&kept->port->kref, remove_port);
	kfree(kept);
}

/* True when the queue need not be asked for a received buffer: it is another, or there is none. */
static bool virtcons_suspend_received(struct port *port, struct port_buffer **buf)
{
	struct virtcons_suspend_kept *kept;

	*buf = NULL;
	if (virtcons_suspend_away(port))
		return true;
	if (likely(list_empty(&virtcons_suspend_kept)))
		return false;
	kept = virtcons_suspend_take(port->portdev, port, VIRTCONS_RECEIVED);
	if (!kept)
		return false;
	*buf = kept->buf;
	virtcons_suspend_forget(kept);
	return true;
}

/* True when an emptied buffer need not be made available by the caller. */
static bool virtcons_suspend_keep(struct port *port, struct port_buffer *buf)
{
	if (!virtcons_suspend_held(port)) {
		if (port->in_vq->num_free)
			return false;
		/* It came from a queue that was replaced by another one, which was filled. */
		free_buf(buf, false);
		return true;
	}
	if (virtcons_suspend_away(port))
		free_buf(buf, false);
	else
		virtcons_suspend_put(port, VIRTCONS_EMPTY, buf);
	return true;
}

/* True when a message to the device is dropped; virtcons_suspend_unquiesce makes up for it. */
static bool virtcons_suspend_drop_message(struct ports_device *portdev)
{
	if (!virtio_suspend_held(portdev->vdev))
		return false;
	WRITE_ONCE(virtcons_suspend_unsaid, true);
	return true;
}

static int virtcons_suspend_quiesce(struct virtio_device *vdev, unsigned long timeout)
{
	struct ports_device *portdev = vdev->priv;

	synchronize_rcu();
	/* Neither is started again before the resume. */
	flush_work(&portdev->control_work);
	flush_work(&portdev->config_work);
	return 0;
}

/* It may be unplugged while the caller holds the reference that it gets. */
static struct port *virtcons_suspend_port(struct ports_device *portdev, u32 id)
{
	struct port *port, *found = NULL;

	spin_lock_irq(&portdev->ports_lock);
	list_for_each_entry(port, &portdev->ports, list) {
		if (port->id == id) {
			kref_get(&port->kref);
			found = port;
			break;
		}
	}
	spin_unlock_irq(&portdev->ports_lock);
	return found;
}

static void virtcons_suspend_unquiesce(struct virtio_device *vdev)
{
	struct ports_device *portdev = vdev->priv;
	struct virtcons_suspend_kept *kept;
	struct port *port;
	u32 id;

	while ((kept = virtcons_suspend_take(portdev, NULL, VIRTCONS_EMPTY))) {
		spin_lock_irq(&kept->port->inbuf_lock);
		if (add_inbuf(kept->port->in_vq, kept->buf) < 0)
			free_buf(kept->buf, false);
		spin_unlock_irq(&kept->port->inbuf_lock);
		virtcons_suspend_forget(kept);
	}

	for (id = 0; id < portdev->max_nr_ports; id++) {
		port = virtcons_suspend_port(portdev, id);
		if (!port)
			continue;
		if (READ_ONCE(virtcons_suspend_unsaid)) {
			send_control_msg(port, VIRTIO_CONSOLE_PORT_READY, 1);
			send_control_msg(port, VIRTIO_CONSOLE_PORT_OPEN, port->guest_connected);
		}
		spin_lock_irq(&port->outvq_lock);
		port->outvq_full = !port->out_vq->num_free;
		spin_unlock_irq(&port->outvq_lock);
		wake_up_interruptible(&port->waitqueue);
		if (is_console_port(port))
			hvc_kick();
		kref_put(&port->kref, remove_port);
	}
	if (use_multiport(portdev))
		schedule_work(&portdev->control_work);
}

static void virtcons_suspend_free(struct ports_device *portdev, enum virtcons_suspend_kind kind)
{
	struct virtcons_suspend_kept *kept;

	while ((kept = virtcons_suspend_take(portdev, NULL, kind))) {
		free_buf(kept->buf, true);
		virtcons_suspend_forget(kept);
	}
}

static void virtcons_suspend_abandon(struct virtio_device *vdev)
{
	struct ports_device *portdev = vdev->priv;
	struct port *port;

	virtcons_suspend_free(portdev, VIRTCONS_EMPTY);
	virtcons_suspend_free(portdev, VIRTCONS_RECEIVED);
	virtcons_suspend_free(portdev, VIRTCONS_UNSENT);
	if (list_empty(&vdev->vqs)) {
		/* A failed restore has freed them. */
		portdev->in_vqs = NULL;
		portdev->out_vqs = NULL;
	}
	/* Ports come and go only as the device says. */
	list_for_each_entry(port, &portdev->ports, list) {
		port->host_connected = false;
		wake_up_interruptible(&port->waitqueue);
	}
}

static const struct virtio_suspend_ops virtcons_suspend_ops = {
	.quiesce = virtcons_suspend_quiesce,
	.unquiesce = virtcons_suspend_unquiesce,
	.abandon = virtcons_suspend_abandon,
};

/* What was received is still to be read; what the device did not take is sent again. */
static void virtcons_suspend_take_back(struct port *port)
{
	struct port_buffer *buf;
	unsigned int len;

	while ((buf = virtqueue_get_buf(port->in_vq, &len))) {
		buf->len = min_t(size_t, len, buf->size);
		buf->offset = 0;
		port->stats.bytes_received += len;
		virtcons_suspend_put(port, VIRTCONS_RECEIVED, buf);
	}
	while ((buf = virtqueue_get_buf(port->out_vq, &len)))
		free_buf(buf, true);
	/* Whoever writes to a console waits until it is sent, and none does now. */
	while (!is_console_port(port) && (buf = virtqueue_detach_unused_buf(port->out_vq)))
		virtcons_suspend_put(port, VIRTCONS_UNSENT, buf);
}

static int virtcons_suspend_freeze(struct virtio_device *vdev)
{
	struct ports_device *portdev = vdev->priv;
	struct port *port;

	if (!virtio_suspend_recovers(vdev)) {
		virtio_suspend_stand_aside(vdev);
		return virtcons_freeze(vdev);
	}

	/* Those who found the queues there have left them. */
	synchronize_rcu();
	virtio_reset_device(vdev);
	__virtio_unbreak_device(vdev);
	cancel_work_sync(&portdev->control_work);
	cancel_work_sync(&portdev->config_work);
	virtcons_suspend_free(portdev, VIRTCONS_EMPTY);
	list_for_each_entry(port, &portdev->ports, list) {
		/* The device says it again. */
		port->host_connected = false;
		virtcons_suspend_take_back(port);
	}
	remove_vqs(portdev);
	return 0;
}

static void virtcons_suspend_send_again(struct ports_device *portdev)
{
	struct virtcons_suspend_kept *kept;

	while ((kept = virtcons_suspend_take(portdev, NULL, VIRTCONS_UNSENT))) {
		struct port_buffer *buf = kept->buf;
		struct scatterlist sg[1], *first = sg;
		unsigned int n = 1;

		if (buf->sgpages) {
			first = buf->sg;
			for (n = 0; n < buf->sgpages && sg_page(&buf->sg[n]); n++)
				;
		} else {
			sg_init_one(sg, buf->buf, buf->size);
		}
		/* There is room for as many as there were. */
		if (virtqueue_add_outbuf(kept->port->out_vq, first, n, buf, GFP_KERNEL))
			free_buf(buf, true);
		virtqueue_kick(kept->port->out_vq);
		virtcons_suspend_forget(kept);
	}
}

static int virtcons_suspend_restore(struct virtio_device *vdev)
{
	int err = virtcons_restore(vdev);

	if (err)
		return err;
	if (virtio_suspend_recovers(vdev))
		virtcons_suspend_send_again(vdev->priv);
	else
		virtio_suspend_stand_by(vdev);
	return 0;
}

static int virtcons_suspend_probe(struct virtio_device *vdev)
{
	int err = virtcons_probe(vdev);

	if (!err && virtio_suspend_register(vdev, &virtcons_suspend_ops))
		dev_warn(&vdev->dev, "the device cannot be suspended\n");
	return err;
}

static void virtcons_suspend_remove(struct virtio_device *vdev)
{
	virtio_suspend_prepare_remove(vdev);
	virtcons_remove(vdev);
	virtio_suspend_unregister(vdev);
}

static void virtcons_suspend_config_changed(struct virtio_device *vdev)
{
	virtio_suspend_config_changed(vdev, config_intr);
}

/* The members of the virtio_driver that replace those before them. */
#define VIRTCONS_SUSPEND_DRIVER					\
	.validate	= virtio_suspend_validate,		\
	.probe		= virtcons_suspend_probe,		\
	.remove		= virtcons_suspend_remove,		\
	.config_changed	= virtcons_suspend_config_changed,	\
	.freeze		= virtcons_suspend_freeze,		\
	.restore	= virtcons_suspend_restore
