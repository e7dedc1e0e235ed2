/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Suspend and resume for virtio-rng.c, which includes this file.
 */
#include <linux/mutex.h>
#include <linux/virtio_suspend.h>

static void request_entropy(struct virtrng_info *vi);
static int virtrng_probe(struct virtio_device *vdev);
static void virtrng_remove(struct virtio_device *vdev);
static int virtrng_freeze(struct virtio_device *vdev);
static int virtrng_restore(struct virtio_device *vdev);

/*
 * Held while the one buffer of a device is made available. Whose turn it is shows in
 * data_idx, which no interrupt writes: 0 from the request until data is read, and not
 * 0 when all of the data is read and no request was made.
 */
static DEFINE_MUTEX(virtrng_suspend_lock);

/*
 * False when the buffer has to wait, for virtrng_suspend_unquiesce to make it available,
 * or was made available meanwhile. The first request of all comes before registration.
 */
static bool virtrng_suspend_begin_request(struct virtrng_info *vi)
{
	mutex_lock(&virtrng_suspend_lock);
	if (virtio_suspend_held(vi->vq->vdev))
		reinit_completion(&vi->have_data);
	else if (vi->data_idx || !vi->hwrng_register_done)
		return true;
	mutex_unlock(&virtrng_suspend_lock);
	return false;
}

static void virtrng_suspend_end_request(void)
{
	mutex_unlock(&virtrng_suspend_lock);
}

/* The buffer may stay with the device: it only waits there. */
static int virtrng_suspend_quiesce(struct virtio_device *vdev, unsigned long timeout)
{
	mutex_lock(&virtrng_suspend_lock);
	mutex_unlock(&virtrng_suspend_lock);
	return 0;
}

static void virtrng_suspend_unquiesce(struct virtio_device *vdev)
{
	struct virtrng_info *vi = vdev->priv;

	/* Pairs with smp_store_release() where the device's bytes are received. */
	if (vi->data_idx && !smp_load_acquire(&vi->data_avail))
		request_entropy(vi);
}

static void virtrng_suspend_abandon(struct virtio_device *vdev)
{
	struct virtrng_info *vi = vdev->priv;

	/* Whoever waits or comes from now on gets an error. */
	vi->hwrng_removed = true;
	complete_all(&vi->have_data);
}

static const struct virtio_suspend_ops virtrng_suspend_ops = {
	.quiesce = virtrng_suspend_quiesce,
	.unquiesce = virtrng_suspend_unquiesce,
	.abandon = virtrng_suspend_abandon,
	.callbacks_take_no_lock = true,
};

static int virtrng_suspend_freeze(struct virtio_device *vdev)
{
	struct virtrng_info *vi = vdev->priv;

	if (!virtio_suspend_recovers(vdev)) {
		virtio_suspend_stand_aside(vdev);
		return virtrng_freeze(vdev);
	}

	/* Those who read go on to wait; the stock function would send them away. */
	virtio_reset_device(vdev);
	__virtio_unbreak_device(vdev);
	random_recv_done(vi->vq);
	/* As if all of its data had been read. */
	if (virtqueue_detach_unused_buf(vi->vq))
		vi->data_idx = sizeof(vi->data);
	vdev->config->del_vqs(vdev);
	return 0;
}

static int virtrng_suspend_restore(struct virtio_device *vdev)
{
	struct virtrng_info *vi = vdev->priv;
	struct virtqueue *vq;
	int err;

	if (!virtio_suspend_recovers(vdev)) {
		err = virtrng_restore(vdev);
		if (!err)
			virtio_suspend_stand_by(vdev);
		return err;
	}

	vq = virtio_find_single_vq(vdev, random_recv_done, "input");
	if (IS_ERR(vq))
		return PTR_ERR(vq);
	vi->vq = vq;
	virtio_device_ready(vdev);
	return 0;
}

static int virtrng_suspend_probe(struct virtio_device *vdev)
{
	int err = virtrng_probe(vdev);

	if (!err && virtio_suspend_register(vdev, &virtrng_suspend_ops))
		dev_warn(&vdev->dev, "the device cannot be suspended\n");
	return err;
}

static void virtrng_suspend_remove(struct virtio_device *vdev)
{
	virtio_suspend_prepare_remove(vdev);
	virtrng_remove(vdev);
	virtio_suspend_unregister(vdev);
}

static unsigned int virtrng_suspend_features[] = {
	VIRTIO_F_SUSPEND,
};

/* The members of the virtio_driver that replace those before them. */
#define VIRTRNG_SUSPEND_DRIVER						\
	.feature_table		= virtrng_suspend_features,		\
	.feature_table_size	= ARRAY_SIZE(virtrng_suspend_features),	\
	.validate		= virtio_suspend_validate,		\
	.probe			= virtrng_suspend_probe,		\
	.remove			= virtrng_suspend_remove,		\
	.freeze			= virtrng_suspend_freeze,		\
	.restore		= virtrng_suspend_restore
