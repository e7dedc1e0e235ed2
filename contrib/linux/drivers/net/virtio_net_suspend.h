/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Suspend and resume for virtio_net.c, which includes this file.
 *
 * While it is suspended the network device is detached, as for any other kind of
 * power saving. Unlike there, user space runs on, and meets the few operations that
 * the network core lets through to a detached device: those are stopped here.
 */
#include <linux/rtnetlink.h>
#include <linux/version.h>
#include <linux/virtio_suspend.h>

static int virtnet_probe(struct virtio_device *vdev);
static void virtnet_remove(struct virtio_device *vdev);
static void virtnet_config_changed(struct virtio_device *vdev);
static int virtnet_freeze(struct virtio_device *vdev);
static int virtnet_restore(struct virtio_device *vdev);
static void remove_vq_common(struct virtnet_info *vi);

/* Since then the stock function takes the lock itself. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define virtnet_suspend_restore_up(vdev)	virtnet_restore_up(vdev)
#else
static int virtnet_suspend_restore_up(struct virtio_device *vdev)
{
	int err;

	rtnl_lock();
	err = virtnet_restore_up(vdev);
	rtnl_unlock();
	return err;
}
#endif

static int virtnet_suspend_quiesce(struct virtio_device *vdev, unsigned long timeout)
{
	struct virtnet_info *vi = vdev->priv;
	struct net_device *dev = vi->dev;

	/* No new one comes, as changes of the configuration are held back. It may take the lock. */
	flush_work(&vi->config_work);

	rtnl_lock();
	netif_addr_lock_bh(dev);
	netif_tx_lock(dev);
	netif_device_detach(dev);
	netif_tx_unlock(dev);
	netif_addr_unlock_bh(dev);
	if (netif_running(dev))
		virtnet_close(dev);
	rtnl_unlock();

	/* Frames that another device redirects here, and control commands in atomic context. */
	synchronize_net();
	return 0;
}

static void virtnet_suspend_unquiesce(struct virtio_device *vdev)
{
	struct virtnet_info *vi = vdev->priv;
	struct net_device *dev = vi->dev;
	int err;

	rtnl_lock();
	/* The restore of a recovery has done that already. */
	if (!netif_device_present(dev)) {
		err = netif_running(dev) ? virtnet_open(dev) : 0;
		if (err)
			netdev_err(dev, "cannot be opened again (%d)\n", err);
		netif_tx_lock_bh(dev);
		netif_device_attach(dev);
		netif_tx_unlock_bh(dev);
	}
	/* What was changed meanwhile, on either side, did not come to the other. */
	if (netif_running(dev)) {
		netif_addr_lock_bh(dev);
		virtnet_set_rx_mode(dev);
		netif_addr_unlock_bh(dev);
		schedule_work(&vi->config_work);
	}
	rtnl_unlock();
}

/* It stays detached, and closed. */
static void virtnet_suspend_abandon(struct virtio_device *vdev)
{
	struct virtnet_info *vi = vdev->priv;

	rtnl_lock();
	netif_device_detach(vi->dev);
	netif_carrier_off(vi->dev);
	/* A failed restore has freed everything, as virtnet_suspend_remove has to know. */
	if (list_empty(&vdev->vqs))
		vi->max_queue_pairs = 0;
	rtnl_unlock();
}

static const struct virtio_suspend_ops virtnet_suspend_ops = {
	.quiesce = virtnet_suspend_quiesce,
	.unquiesce = virtnet_suspend_unquiesce,
	.abandon = virtnet_suspend_abandon,
};

static int virtnet_suspend_freeze(struct virtio_device *vdev)
{
	struct virtnet_info *vi = vdev->priv;

	if (!virtio_suspend_recovers(vdev)) {
		virtio_suspend_stand_aside(vdev);
		return virtnet_freeze(vdev);
	}

	/* The stock function, but for what quiesced the device. Frames on their way are lost. */
	virtnet_cpu_notif_remove(vi);
	remove_vq_common(vi);
	return 0;
}

static int virtnet_suspend_restore(struct virtio_device *vdev)
{
	struct virtnet_info *vi = vdev->priv;
	int err;

	if (!virtio_suspend_recovers(vdev)) {
		err = virtnet_restore(vdev);
		if (!err)
			virtio_suspend_stand_by(vdev);
		return err;
	}

	err = virtnet_suspend_restore_up(vdev);
	if (err)
		return err;
	virtnet_set_queues(vi, vi->curr_queue_pairs);
	err = virtnet_cpu_notif_add(vi);
	if (err) {
		virtnet_freeze_down(vdev);
		remove_vq_common(vi);
	}
	return err;
}

static int virtnet_suspend_probe(struct virtio_device *vdev)
{
	int err = virtnet_probe(vdev);

	if (!err && virtio_suspend_register(vdev, &virtnet_suspend_ops))
		dev_warn(&vdev->dev, "the device cannot be suspended\n");
	return err;
}

static void virtnet_suspend_remove(struct virtio_device *vdev)
{
	struct virtnet_info *vi = vdev->priv;

	virtio_suspend_prepare_remove(vdev);
	if (vi->max_queue_pairs) {
		virtnet_remove(vdev);
	} else {
		flush_work(&vi->config_work);
		unregister_netdev(vi->dev);
		net_failover_destroy(vi->failover);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
		flush_work(&vi->rx_mode_work);
#endif
		virtio_reset_device(vdev);
		free_netdev(vi->dev);
	}
	virtio_suspend_unregister(vdev);
}

static void virtnet_suspend_config_changed(struct virtio_device *vdev)
{
	virtio_suspend_config_changed(vdev, virtnet_config_changed);
}

/* A queue that was stopped may be woken by the device's last interrupts. */
static netdev_tx_t virtnet_suspend_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	if (unlikely(!netif_device_present(dev))) {
		netif_stop_subqueue(dev, skb_get_queue_mapping(skb));
		return NETDEV_TX_BUSY;
	}
	return start_xmit(skb, dev);
}

static int virtnet_suspend_xdp_xmit(struct net_device *dev, int n, struct xdp_frame **frames,
				    u32 flags)
{
	if (unlikely(!netif_device_present(dev)))
		return -ENETDOWN;
	return virtnet_xdp_xmit(dev, n, frames, flags);
}

static int virtnet_suspend_bpf(struct net_device *dev, struct netdev_bpf *xdp)
{
	return netif_device_present(dev) ? virtnet_xdp(dev, xdp) : -EBUSY;
}

static int virtnet_suspend_stop(struct net_device *dev)
{
	/* It was closed when it was detached. */
	return netif_device_present(dev) ? virtnet_close(dev) : 0;
}

/* The members of virtnet_netdev and of the virtio_driver that replace those before them. */
#define VIRTNET_SUSPEND_NETDEV_OPS				\
	.ndo_start_xmit	= virtnet_suspend_start_xmit,		\
	.ndo_xdp_xmit	= virtnet_suspend_xdp_xmit,		\
	.ndo_bpf	= virtnet_suspend_bpf,			\
	.ndo_stop	= virtnet_suspend_stop

#define VIRTNET_SUSPEND_DRIVER					\
	.probe		= virtnet_suspend_probe,		\
	.remove		= virtnet_suspend_remove,		\
	.config_changed	= virtnet_suspend_config_changed,	\
	.freeze		= virtnet_suspend_freeze,		\
	.restore	= virtnet_suspend_restore
