/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Suspend and resume of virtio devices through the device status field
 * (VIRTIO_F_SUSPEND, VIRTIO 1.4, "Device Suspend").
 *
 * The logic that all device drivers share is in virtio_suspend.ko. A driver
 * names the feature in its feature table, registers a device at the end of
 * its probe, and says how it stops and continues to use its queues.
 */
#ifndef _LINUX_VIRTIO_SUSPEND_H
#define _LINUX_VIRTIO_SUSPEND_H

#include <linux/types.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#ifndef CONFIG_PM_SLEEP
#error "virtio_suspend needs CONFIG_PM_SLEEP: a device that fails is recovered with virtio_device_freeze and _restore"
#endif

#ifndef VIRTIO_F_SUSPEND
#define VIRTIO_F_SUSPEND	43
#endif

#ifndef VIRTIO_CONFIG_S_SUSPEND
#define VIRTIO_CONFIG_S_SUSPEND	0x10
#endif

/**
 * struct virtio_suspend_ops - what a device driver supplies
 * @quiesce: From the return of this function on, and until @unquiesce, no
 *	buffer is made available, no queue is kicked and the configuration
 *	space is not written. Used buffers are still taken, as the callbacks
 *	of the queues come. If @timeout is not 0, the driver may wait that
 *	many jiffies for the device to use what it was given, and give up
 *	with -ETIMEDOUT, having changed nothing. With a @timeout of 0 it waits
 *	for nothing of the device and does not fail. May sleep.
 * @unquiesce: The opposite of @quiesce; the device runs. It was reset since
 *	if the @freeze and @restore of the virtio_driver were called. May sleep.
 * @abandon: Instead of @unquiesce: the device is lost, and no queue may be
 *	used any more. What waits for it has to fail, so that nothing hangs.
 * @callbacks_take_no_lock: The callbacks of the queues rely on not being
 *	called twice at the same time, so nobody but the interrupt may call
 *	them while the device runs.
 *
 * The @freeze and @restore of the virtio_driver are called by the recovery
 * too, between @quiesce and @unquiesce; virtio_suspend_recovers() tells. There,
 * @freeze takes back every buffer that the device still had and loses none.
 */
struct virtio_suspend_ops {
	int (*quiesce)(struct virtio_device *vdev, unsigned long timeout);
	void (*unquiesce)(struct virtio_device *vdev);
	void (*abandon)(struct virtio_device *vdev);
	bool callbacks_take_no_lock;
};

/* To be called in this order: at the end of probe, around remove. */
int virtio_suspend_register(struct virtio_device *vdev,
			    const struct virtio_suspend_ops *ops);
void virtio_suspend_prepare_remove(struct virtio_device *vdev);
void virtio_suspend_unregister(struct virtio_device *vdev);

/* The validate of a driver without a feature table for legacy devices. */
int virtio_suspend_validate(struct virtio_device *vdev);

/* The config_changed of a driver: holds changes back during a suspend. */
void virtio_suspend_config_changed(struct virtio_device *vdev,
				   void (*changed)(struct virtio_device *vdev));

/* True in the freeze and restore that the recovery itself calls. */
bool virtio_suspend_recovers(struct virtio_device *vdev);

/*
 * Around what resets the device for other reasons, hibernation and function
 * level reset: the first ends a suspend, and until the second there is none.
 */
void virtio_suspend_stand_aside(struct virtio_device *vdev);
void virtio_suspend_stand_by(struct virtio_device *vdev);

/*
 * For drivers that cannot stop all who use their queues: true from before @quiesce to
 * before @unquiesce, but not for the recovery itself. To be asked in the very section,
 * atomic or locked, that uses the queue; @quiesce then waits for those sections to end.
 */
bool virtio_suspend_held(struct virtio_device *vdev);

/* True during a recovery, when the queues themselves come and go, and after one that failed. */
bool virtio_suspend_away(struct virtio_device *vdev);

/* Around a write to configuration space: false when the device may not be written now. */
bool virtio_suspend_get(struct virtio_device *vdev);
void virtio_suspend_put(struct virtio_device *vdev);

#endif /* _LINUX_VIRTIO_SUSPEND_H */
