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
static ssize_t send_control_msg(struct port *port, unsigned int event, unsigned int value);
static int virtcons_probe(struct virtio_device *vdev);
static void virtcons_remove(struct virtio_device *vdev);
static int virtcons_freeze(struct virtio_device *vdev);
static int virtcons_restore(struct virtio_device *vdev);
static void config_intr(struct virtio_device *vdev);

/* An emptied buffer that is to be made available to receive after a suspend. */
struct virtcons_suspend_kept {
	struct list_head list;
	struct port *port;
	struct port_buffer *buf;
};

static LIST_HEAD(virtcons_suspend_kept);
static DEFINE_SPINLOCK(virtcons_suspend_kept_lock);

/* Some device was not told of a change of some port. */
static atomic_t virtcons_suspend_unsaid = ATOMIC_INIT(0);

/* True when the queues of a port are gone, for a while or for good. */
static bool virtcons_suspend_away(struct port *port)
{
	return port->portdev && virtio_suspend_away(port->portdev->vdev);
}

/* True when nothing may be sent now. */
static bool virtcons_suspend_held(struct port *port)
{
	return port->portdev && virtio_suspend_held(port->portdev->vdev);
}

/* True when a buffer need not be made available by the caller. */
static bool virtcons_suspend_keep(struct port *port, struct port_buffer *buf)
{
	struct virtcons_suspend_kept *kept = NULL;
	unsigned long flags;

	if (!virtcons_suspend_held(port))
		return false;

	/* Queues that are made anew are filled with new buffers. */
	if (!virtcons_suspend_away(port))
		kept = kmalloc(sizeof(*kept), GFP_ATOMIC);
	if (!kept) {
		free_buf(buf, false);
		return true;
	}
	kept->port = port;
	kept->buf = buf;
	spin_lock_irqsave(&virtcons_suspend_kept_lock, flags);
	list_add_tail(&kept->list, &virtcons_suspend_kept);
	spin_unlock_irqrestore(&virtcons_suspend_kept_lock, flags);
	return true;
}

static struct virtcons_suspend_kept *virtcons_suspend_take_kept(struct ports_device *portdev)
{
	struct virtcons_suspend_kept *kept, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&virtcons_suspend_kept_lock, flags);
	list_for_each_entry(kept, &virtcons_suspend_kept, list) {
		if (kept->port->portdev == portdev) {
			list_del(&kept->list);
			found = kept;
			break;
		}
	}
	spin_unlock_irqrestore(&virtcons_suspend_kept_lock, flags);
	return found;
}

/* True when a message to the device is dropped; virtcons_suspend_unquiesce makes up for it. */
static bool virtcons_suspend_drop_message(struct ports_device *portdev)
{
	if (!virtio_suspend_held(portdev->vdev))
		return false;
	atomic_set(&virtcons_suspend_unsaid, 1);
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

static void virtcons_suspend_unquiesce(struct virtio_device *vdev)
{
	struct ports_device *portdev = vdev->priv;
	bool unsaid = atomic_xchg(&virtcons_suspend_unsaid, 0);
	struct virtcons_suspend_kept *kept;
	struct port *port;

	while ((kept = virtcons_suspend_take_kept(portdev))) {
		spin_lock_irq(&kept->port->inbuf_lock);
		if (add_inbuf(kept->port->in_vq, kept->buf) < 0)
			free_buf(kept->buf, false);
		spin_unlock_irq(&kept->port->inbuf_lock);
		kfree(kept);
	}

	list_for_each_entry(port, &portdev->ports, list) {
		if (unsaid) {
			send_control_msg(port, VIRTIO_CONSOLE_PORT_READY, 1);
			send_control_msg(port, VIRTIO_CONSOLE_PORT_OPEN, port->guest_connected);
		}
		spin_lock_irq(&port->outvq_lock);
		port->outvq_full = !port->out_vq->num_free;
		spin_unlock_irq(&port->outvq_lock);
		wake_up_interruptible(&port->waitqueue);
		if (is_console_port(port))
			hvc_kick();
	}
	if (use_multiport(portdev))
		schedule_work(&portdev->control_work);
}

static void virtcons_suspend_free_kept(struct ports_device *portdev)
{
	struct virtcons_suspend_kept *kept;

	while ((kept = virtcons_suspend_take_kept(portdev))) {
		free_buf(kept->buf, true);
		kfree(kept);
	}
}

static void virtcons_suspend_abandon(struct virtio_device *vdev)
{
	struct ports_device *portdev = vdev->priv;
	struct port *port;

	virtcons_suspend_free_kept(portdev);
	if (list_empty(&vdev->vqs)) {
		/* A failed restore has freed them. */
		portdev->in_vqs = NULL;
		portdev->out_vqs = NULL;
	}
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

static int virtcons_suspend_freeze(struct virtio_device *vdev)
{
	int err;

	if (!virtio_suspend_recovers(vdev)) {
		virtio_suspend_stand_aside(vdev);
		return virtcons_freeze(vdev);
	}

	/* Those who found the queues there have left them. What was on its way out is lost. */
	synchronize_rcu();
	err = virtcons_freeze(vdev);
	virtcons_suspend_free_kept(vdev->priv);
	return err;
}

static int virtcons_suspend_restore(struct virtio_device *vdev)
{
	int err = virtcons_restore(vdev);

	if (!err && !virtio_suspend_recovers(vdev))
		virtio_suspend_stand_by(vdev);
	return err;
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
