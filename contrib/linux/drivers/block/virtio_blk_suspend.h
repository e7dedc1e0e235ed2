/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Suspend and resume for virtio_blk.c, which includes this file.
 */
#include <linux/version.h>
#include <linux/virtio_suspend.h>

static int init_vq(struct virtio_blk *vblk);
static int virtblk_probe(struct virtio_device *vdev);
static void virtblk_remove(struct virtio_device *vdev);
static void virtblk_config_changed(struct virtio_device *vdev);
static int virtblk_freeze(struct virtio_device *vdev);
static int virtblk_restore(struct virtio_device *vdev);

static bool leave_in_flight;
module_param(leave_in_flight, bool, 0644);
MODULE_PARM_DESC(leave_in_flight,
		 "Suspend a device without waiting for requests that it has; it has to finish them itself");

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
#define virtblk_suspend_thaw(q)	blk_mq_unfreeze_queue_nomemrestore(q)
#else
#define virtblk_suspend_thaw(q)	blk_mq_unfreeze_queue(q)
#endif

static int virtblk_suspend_quiesce(struct virtio_device *vdev, unsigned long timeout)
{
	struct virtio_blk *vblk = vdev->priv;
	struct request_queue *q = vblk->disk->queue;

	if (timeout && !leave_in_flight) {
		blk_freeze_queue_start(q);
		if (!blk_mq_freeze_queue_wait_timeout(q, timeout)) {
			virtblk_suspend_thaw(q);
			return -ETIMEDOUT;
		}
		/* Requests that come now stay in the queue: nobody waits for a frozen one. */
		blk_mq_quiesce_queue(q);
		virtblk_suspend_thaw(q);
	} else {
		/* Waits for requests that are being handed to the device, kicks included. */
		blk_mq_quiesce_queue(q);
	}
	flush_work(&vblk->config_work);
	return 0;
}

static void virtblk_suspend_unquiesce(struct virtio_device *vdev)
{
	struct virtio_blk *vblk = vdev->priv;

	blk_mq_unquiesce_queue(vblk->disk->queue);
}

/* Takes back what the device, reset or gone, has not used, to be handed to it again. */
static void virtblk_suspend_take_back(struct virtio_blk *vblk)
{
	int i;

	for (i = 0; i < vblk->num_vqs; i++) {
		struct virtqueue *vq = vblk->vqs[i].vq;
		struct virtblk_req *vbr;
		unsigned long flags;

		/* What was used is done, whether or not an interrupt has said so. */
		virtblk_done(vq);

		spin_lock_irqsave(&vblk->vqs[i].lock, flags);
		while ((vbr = virtqueue_detach_unused_buf(vq))) {
			struct request *req = blk_mq_rq_from_pdu(vbr);

			virtblk_unmap_data(req, vbr);
			virtblk_cleanup_cmd(req);
			/* All but this can be done twice with the same outcome. */
			if (req_op(req) == REQ_OP_ZONE_APPEND)
				blk_mq_end_request(req, BLK_STS_IOERR);
			else
				blk_mq_requeue_request(req, true);
		}
		spin_unlock_irqrestore(&vblk->vqs[i].lock, flags);
	}
}

/* The queues are there but broken, or are not there: queue_rq fails every request. */
static void virtblk_suspend_abandon(struct virtio_device *vdev)
{
	struct virtio_blk *vblk = vdev->priv;

	if (vblk->vqs)
		virtblk_suspend_take_back(vblk);
	blk_mark_disk_dead(vblk->disk);
	blk_mq_unquiesce_queue(vblk->disk->queue);
}

static const struct virtio_suspend_ops virtblk_suspend_ops = {
	.quiesce = virtblk_suspend_quiesce,
	.unquiesce = virtblk_suspend_unquiesce,
	.abandon = virtblk_suspend_abandon,
};

static int virtblk_suspend_freeze(struct virtio_device *vdev)
{
	struct virtio_blk *vblk = vdev->priv;

	if (!virtio_suspend_recovers(vdev)) {
		virtio_suspend_stand_aside(vdev);
		return virtblk_freeze(vdev);
	}

	virtio_reset_device(vdev);
	/* Some kernels break the queues at a reset, for late interrupts; there are none now. */
	__virtio_unbreak_device(vdev);
	virtblk_suspend_take_back(vblk);
	flush_work(&vblk->config_work);
	vdev->config->del_vqs(vdev);
	kfree(vblk->vqs);
	vblk->vqs = NULL;
	return 0;
}

static int virtblk_suspend_restore(struct virtio_device *vdev)
{
	struct virtio_blk *vblk = vdev->priv;
	int err;

	if (!virtio_suspend_recovers(vdev)) {
		err = virtblk_restore(vdev);
		if (!err)
			virtio_suspend_stand_by(vdev);
		return err;
	}

	err = init_vq(vblk);
	if (err) {
		vblk->vqs = NULL;
		return err;
	}
	virtio_device_ready(vdev);
	return 0;
}

/* Polled requests are looked for without a lock that a recovery could take. */
static int virtblk_suspend_validate(struct virtio_device *vdev)
{
	if (poll_queues)
		__virtio_clear_bit(vdev, VIRTIO_F_SUSPEND);
	return virtio_suspend_validate(vdev);
}

static int virtblk_suspend_probe(struct virtio_device *vdev)
{
	int err = virtblk_probe(vdev);

	if (!err && virtio_suspend_register(vdev, &virtblk_suspend_ops))
		dev_warn(&vdev->dev, "the device cannot be suspended\n");
	return err;
}

static void virtblk_suspend_remove(struct virtio_device *vdev)
{
	virtio_suspend_prepare_remove(vdev);
	virtblk_remove(vdev);
	virtio_suspend_unregister(vdev);
}

static void virtblk_suspend_config_changed(struct virtio_device *vdev)
{
	virtio_suspend_config_changed(vdev, virtblk_config_changed);
}

static blk_status_t virtblk_suspend_queue_rq(struct blk_mq_hw_ctx *hctx,
					     const struct blk_mq_queue_data *bd)
{
	struct virtio_blk *vblk = hctx->queue->queuedata;

	if (unlikely(!vblk->vqs))
		return BLK_STS_IOERR;
	return virtio_queue_rq(hctx, bd);
}

/* What stays in the list comes to queue_rq, one by one. Older kernels have no type for it. */
#ifdef rq_list_peek
static void virtblk_suspend_queue_rqs(struct request **rqlist)
{
	struct request *first = rq_list_peek(rqlist);
#else
static void virtblk_suspend_queue_rqs(struct rq_list *rqlist)
{
	struct request *first = rq_list_peek(rqlist);
#endif
	struct virtio_blk *vblk = first->q->queuedata;

	if (likely(vblk->vqs))
		virtio_queue_rqs(rqlist);
}

static void virtblk_suspend_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct virtio_blk *vblk = hctx->queue->queuedata;

	if (likely(vblk->vqs))
		virtio_commit_rqs(hctx);
}

/* The members of virtio_mq_ops and of the virtio_driver that replace those before them. */
#define VIRTBLK_SUSPEND_MQ_OPS					\
	.queue_rq	= virtblk_suspend_queue_rq,		\
	.queue_rqs	= virtblk_suspend_queue_rqs,		\
	.commit_rqs	= virtblk_suspend_commit_rqs

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define VIRTBLK_SUSPEND_RESET					\
	.reset_prepare	= virtblk_suspend_reset_prepare,	\
	.reset_done	= virtblk_suspend_reset_done,

static int virtblk_reset_prepare(struct virtio_device *vdev);
static int virtblk_reset_done(struct virtio_device *vdev);

static int virtblk_suspend_reset_prepare(struct virtio_device *vdev)
{
	virtio_suspend_stand_aside(vdev);
	return virtblk_reset_prepare(vdev);
}

static int virtblk_suspend_reset_done(struct virtio_device *vdev)
{
	int err = virtblk_reset_done(vdev);

	if (!err)
		virtio_suspend_stand_by(vdev);
	return err;
}
#else
#define VIRTBLK_SUSPEND_RESET
#endif

#define VIRTBLK_SUSPEND_DRIVER					\
	VIRTBLK_SUSPEND_RESET					\
	.validate	= virtblk_suspend_validate,		\
	.probe		= virtblk_suspend_probe,		\
	.remove		= virtblk_suspend_remove,		\
	.config_changed	= virtblk_suspend_config_changed,	\
	.freeze		= virtblk_suspend_freeze,		\
	.restore	= virtblk_suspend_restore
