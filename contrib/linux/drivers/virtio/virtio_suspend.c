// SPDX-License-Identifier: GPL-2.0
/*
 * Suspend and resume of virtio devices through the device status field
 * (VIRTIO_F_SUSPEND, VIRTIO 1.4, "Device Suspend").
 *
 * The driver of a device stops to use its queues, SUSPEND is written once, and
 * the status is read until the device shows SUSPEND without DRIVER_OK; resuming
 * is the same with DRIVER_OK. Whatever goes wrong ends in a reset of the device,
 * with the requests that it still had given to it again.
 *
 * A device is suspended for system sleep, by a PM domain that stands in front
 * of the PCI or platform bus and changes nothing but suspend and resume, and
 * through its sysfs attribute "suspend".
 */
#include <linux/bottom_half.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pm.h>
#include <linux/pm_runtime.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_suspend.h>

#define VIRTIO_SUSPEND_BITS \
	(VIRTIO_CONFIG_S_SUSPEND | VIRTIO_CONFIG_S_DRIVER_OK)

/* What is read from a device that is no longer there. */
#define VIRTIO_STATUS_GONE	0xff

static unsigned int suspend_timeout_ms = 10000;
module_param(suspend_timeout_ms, uint, 0644);
MODULE_PARM_DESC(suspend_timeout_ms,
		 "How long a device may take to suspend or resume before it is reset (10000)");

enum virtio_suspend_state {
	VIRTIO_RUNNING,
	VIRTIO_SUSPENDED,
	/* The recovery failed as well. */
	VIRTIO_LOST,
};

/* Who wants the device to be suspended. */
#define VIRTIO_HELD_BY_USER	BIT(0)
#define VIRTIO_HELD_BY_SLEEP	BIT(1)

/**
 * struct virtio_suspend - a device that negotiated VIRTIO_F_SUSPEND
 * @lock: held during every transition; protects what follows up to @cycles
 * @aside: somebody else resets the device at present
 * @removing: the driver is on its way out
 * @slept_stock: the last system sleep reset this device as if it could not suspend
 * @recovering: the task that recovers the device
 * @quiesced: its driver must not use the queues
 * @config_lock: protects the two fields that follow, in any context
 * @config_held: changes of the configuration are held back
 * @config_pending: there was one
 */
struct virtio_suspend {
	struct list_head list;
	struct virtio_device *vdev;
	const struct virtio_suspend_ops *ops;
	struct dev_pm_domain domain;

	struct mutex lock;
	enum virtio_suspend_state state;
	unsigned int holds;
	bool aside;
	bool removing;
	bool slept_stock;
	u32 generation;
	unsigned long cycles;
	unsigned long failures;
	unsigned long resets;
	s64 suspend_us;
	s64 resume_us;

	struct task_struct *recovering;
	bool quiesced;

	spinlock_t config_lock;
	bool config_held;
	bool config_pending;
};

static LIST_HEAD(virtio_suspend_devices);
static DEFINE_SPINLOCK(virtio_suspend_devices_lock);

/* A device stays in the list from its probe to its remove, which is where this is called. */
static struct virtio_suspend *virtio_suspend_find(struct virtio_device *vdev)
{
	struct virtio_suspend *vs, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&virtio_suspend_devices_lock, flags);
	list_for_each_entry(vs, &virtio_suspend_devices, list) {
		if (vs->vdev == vdev) {
			found = vs;
			break;
		}
	}
	spin_unlock_irqrestore(&virtio_suspend_devices_lock, flags);
	return found;
}

static u8 virtio_suspend_status(struct virtio_suspend *vs)
{
	return vs->vdev->config->get_status(vs->vdev);
}

static u32 virtio_suspend_generation(struct virtio_suspend *vs)
{
	const struct virtio_config_ops *config = vs->vdev->config;

	return config->generation ? config->generation(vs->vdev) : 0;
}

static unsigned long virtio_suspend_timeout(void)
{
	return max(1UL, msecs_to_jiffies(READ_ONCE(suspend_timeout_ms)));
}

/* Reads the status until it shows @wanted of the two bits. The device is told once, never again. */
static int virtio_suspend_wait(struct virtio_suspend *vs, u8 wanted)
{
	unsigned long deadline = jiffies + virtio_suspend_timeout();
	unsigned int pause_us = 0;

	for (;;) {
		bool late = time_after(jiffies, deadline);
		u8 status = virtio_suspend_status(vs);

		if (status == VIRTIO_STATUS_GONE)
			return -ENODEV;
		if (!status)
			return -ENODATA;
		if (status & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED))
			return -EIO;
		if ((status & VIRTIO_SUSPEND_BITS) == wanted)
			return 0;
		if (late)
			return -ETIMEDOUT;

		if (pause_us)
			usleep_range(pause_us, 2 * pause_us);
		else
			cond_resched();
		pause_us = clamp(2 * pause_us, 20U, 10000U);
	}
}

/* Lets the driver see used buffers whose interrupt may never come. */
static void virtio_suspend_scan(struct virtio_suspend *vs)
{
	struct virtqueue *vq;

	local_bh_disable();
	virtio_device_for_each_vq(vs->vdev, vq) {
		unsigned long flags;

		if (!vq->callback)
			continue;
		local_irq_save(flags);
		vring_interrupt(0, vq);
		local_irq_restore(flags);
	}
	local_bh_enable();
}

/* The device takes what it was given before the suspend without this; not all do. */
static void virtio_suspend_kick(struct virtio_suspend *vs)
{
	struct virtqueue *vq;

	virtio_device_for_each_vq(vs->vdev, vq) {
		if (vq->num_free < virtqueue_get_vring_size(vq))
			virtqueue_notify(vq);
	}
}

static void virtio_suspend_hold_config(struct virtio_suspend *vs)
{
	unsigned long flags;

	spin_lock_irqsave(&vs->config_lock, flags);
	vs->config_held = true;
	spin_unlock_irqrestore(&vs->config_lock, flags);
}

static void virtio_suspend_let_config(struct virtio_suspend *vs, bool changed)
{
	unsigned long flags;

	/* A driver that is being removed hears of no change any more. */
	if (vs->removing)
		return;

	spin_lock_irqsave(&vs->config_lock, flags);
	vs->config_held = false;
	changed |= vs->config_pending;
	vs->config_pending = false;
	spin_unlock_irqrestore(&vs->config_lock, flags);

	if (changed)
		virtio_config_changed(vs->vdev);
}

void virtio_suspend_config_changed(struct virtio_device *vdev,
				   void (*changed)(struct virtio_device *vdev))
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);
	bool held = false;
	unsigned long flags;

	if (vs) {
		spin_lock_irqsave(&vs->config_lock, flags);
		held = vs->config_held;
		vs->config_pending |= held;
		spin_unlock_irqrestore(&vs->config_lock, flags);
	}
	if (!held)
		changed(vdev);
}
EXPORT_SYMBOL_GPL(virtio_suspend_config_changed);

/*
 * Resets a device whose driver is quiesced, and gives it its requests again.
 * @why is what went wrong. Returns 0 when the device runs again.
 */
static int virtio_suspend_recover(struct virtio_suspend *vs, const char *doing, int why)
{
	struct virtio_device *vdev = vs->vdev;
	unsigned int noio;
	u8 status = virtio_suspend_status(vs);
	int err;

	vs->failures++;
	dev_warn(&vdev->dev, "%s failed (%d) at status 0x%02x: resetting the device\n",
		 doing, why, status);

	if (status == VIRTIO_STATUS_GONE) {
		/* A reset would wait for ever. */
		err = -ENODEV;
		goto lost;
	}
	if (why == -ETIMEDOUT)
		vdev->config->set_status(vdev, status | VIRTIO_CONFIG_S_FAILED);

	/* Memory must not be waited for that this very device would have to write out. */
	noio = memalloc_noio_save();
	WRITE_ONCE(vs->recovering, current);
	err = virtio_device_freeze(vdev);
	/* FAILED was about the life that ends here. */
	vdev->failed = false;
	if (!err)
		err = virtio_device_restore(vdev);
	WRITE_ONCE(vs->recovering, NULL);
	memalloc_noio_restore(noio);
	if (err)
		goto lost;

	vs->resets++;
	vs->state = VIRTIO_RUNNING;
	return 0;

lost:
	dev_err(&vdev->dev, "the device is lost (%d)\n", err);
	virtio_break_device(vdev);
	vs->state = VIRTIO_LOST;
	return err;
}

/* The end of every transition that leaves the device running, or lost. */
static void virtio_suspend_let_go(struct virtio_suspend *vs, bool changed)
{
	if (vs->state == VIRTIO_LOST) {
		vs->ops->abandon(vs->vdev);
		return;
	}
	WRITE_ONCE(vs->quiesced, false);
	vs->ops->unquiesce(vs->vdev);
	virtio_suspend_let_config(vs, changed);
}

/*
 * Suspends a running device. When it fails the device runs as before: with -EBUSY because
 * it was not touched at all, otherwise after a reset.
 */
static int virtio_suspend_enter(struct virtio_suspend *vs)
{
	struct virtio_device *vdev = vs->vdev;
	ktime_t start = ktime_get();
	u8 status = virtio_suspend_status(vs);
	bool usable;
	int err;

	if (vs->state == VIRTIO_LOST)
		return -EIO;
	if (vs->state == VIRTIO_SUSPENDED)
		return 0;

	usable = (status & (VIRTIO_SUSPEND_BITS | VIRTIO_CONFIG_S_NEEDS_RESET |
			    VIRTIO_CONFIG_S_FAILED)) == VIRTIO_CONFIG_S_DRIVER_OK;

	virtio_suspend_hold_config(vs);
	WRITE_ONCE(vs->quiesced, true);
	err = vs->ops->quiesce(vdev, usable ? virtio_suspend_timeout() : 0);
	if (err) {
		WRITE_ONCE(vs->quiesced, false);
		vs->failures++;
		dev_warn(&vdev->dev, "not suspended: its driver could not be quiesced (%d)\n", err);
		virtio_suspend_let_config(vs, false);
		return -EBUSY;
	}

	if (usable) {
		vdev->config->set_status(vdev, status | VIRTIO_CONFIG_S_SUSPEND);
		err = virtio_suspend_wait(vs, VIRTIO_CONFIG_S_SUSPEND);
	} else {
		err = -EIO;
	}
	if (err) {
		virtio_suspend_recover(vs, "suspend", err);
		virtio_suspend_let_go(vs, true);
		return err;
	}

	/* No interrupt comes any more, and the used rings are final. */
	virtio_synchronize_cbs(vdev);
	virtio_rmb(false);
	virtio_suspend_scan(vs);
	vs->generation = virtio_suspend_generation(vs);
	vs->state = VIRTIO_SUSPENDED;
	vs->suspend_us = ktime_us_delta(ktime_get(), start);
	return 0;
}

/* Resumes a suspended device. Returns 0 when it runs, be it after a reset. */
static int virtio_suspend_leave(struct virtio_suspend *vs)
{
	struct virtio_device *vdev = vs->vdev;
	ktime_t start = ktime_get();
	u8 status = virtio_suspend_status(vs);
	bool changed;
	int err;

	if (vs->state == VIRTIO_LOST)
		return -EIO;
	if (vs->state == VIRTIO_RUNNING)
		return 0;

	if (status == VIRTIO_STATUS_GONE) {
		err = -ENODEV;
	} else if (!(status & VIRTIO_CONFIG_S_SUSPEND) || (status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		/* It was reset behind our back: what it knew is gone. */
		err = -ENODATA;
	} else if (status & (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)) {
		err = -EIO;
	} else {
		vdev->config->set_status(vdev, status | VIRTIO_CONFIG_S_DRIVER_OK);
		err = virtio_suspend_wait(vs, VIRTIO_CONFIG_S_DRIVER_OK);
	}

	if (err) {
		err = virtio_suspend_recover(vs, "resume", err);
		changed = true;
	} else {
		vs->state = VIRTIO_RUNNING;
		vs->cycles++;
		changed = vs->generation != virtio_suspend_generation(vs);
		if (!vs->ops->callbacks_take_no_lock)
			virtio_suspend_scan(vs);
		virtio_suspend_kick(vs);
	}
	virtio_suspend_let_go(vs, changed);
	vs->resume_us = ktime_us_delta(ktime_get(), start);
	return err;
}

static int virtio_suspend_hold(struct virtio_suspend *vs, unsigned int holder)
{
	int err = 0;

	mutex_lock(&vs->lock);
	if (vs->aside || vs->removing)
		err = -EBUSY;
	else
		err = virtio_suspend_enter(vs);
	if (!err)
		vs->holds |= holder;
	mutex_unlock(&vs->lock);
	return err;
}

static int virtio_suspend_release(struct virtio_suspend *vs, unsigned int holders)
{
	int err = 0;

	mutex_lock(&vs->lock);
	vs->holds &= ~holders;
	if (!vs->holds)
		err = virtio_suspend_leave(vs);
	mutex_unlock(&vs->lock);
	return err;
}

bool virtio_suspend_recovers(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);

	return vs && READ_ONCE(vs->recovering) == current;
}
EXPORT_SYMBOL_GPL(virtio_suspend_recovers);

bool virtio_suspend_held(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);

	return vs && READ_ONCE(vs->quiesced) && READ_ONCE(vs->recovering) != current;
}
EXPORT_SYMBOL_GPL(virtio_suspend_held);

bool virtio_suspend_away(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);
	struct task_struct *recovering;

	if (!vs)
		return false;
	recovering = READ_ONCE(vs->recovering);
	return READ_ONCE(vs->state) == VIRTIO_LOST || (recovering && recovering != current);
}
EXPORT_SYMBOL_GPL(virtio_suspend_away);

void virtio_suspend_stand_aside(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);

	if (!vs)
		return;
	mutex_lock(&vs->lock);
	vs->holds = 0;
	virtio_suspend_leave(vs);
	vs->aside = true;
	mutex_unlock(&vs->lock);
}
EXPORT_SYMBOL_GPL(virtio_suspend_stand_aside);

void virtio_suspend_stand_by(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);

	if (!vs)
		return;
	mutex_lock(&vs->lock);
	vs->aside = false;
	mutex_unlock(&vs->lock);
}
EXPORT_SYMBOL_GPL(virtio_suspend_stand_by);

bool virtio_suspend_get(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);

	if (!vs)
		return true;
	if (!mutex_trylock(&vs->lock))
		return false;
	if (vs->state == VIRTIO_RUNNING && !vs->aside)
		return true;
	mutex_unlock(&vs->lock);
	return false;
}
EXPORT_SYMBOL_GPL(virtio_suspend_get);

void virtio_suspend_put(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);

	if (vs)
		mutex_unlock(&vs->lock);
}
EXPORT_SYMBOL_GPL(virtio_suspend_put);

int virtio_suspend_validate(struct virtio_device *vdev)
{
	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1))
		__virtio_clear_bit(vdev, VIRTIO_F_SUSPEND);
	return 0;
}
EXPORT_SYMBOL_GPL(virtio_suspend_validate);

/* ---- System sleep ---- */

typedef int (*virtio_suspend_pm_callback)(struct device *dev);

/* The operations that the PM core would use if there were no PM domain. */
static const struct dev_pm_ops *virtio_suspend_stock_ops(struct device *dev)
{
	if (dev->type && dev->type->pm)
		return dev->type->pm;
	if (dev->class && dev->class->pm)
		return dev->class->pm;
	return dev->bus ? dev->bus->pm : NULL;
}

static int virtio_suspend_stock(struct device *dev, size_t callback)
{
	const struct dev_pm_ops *ops = virtio_suspend_stock_ops(dev);
	virtio_suspend_pm_callback call = NULL;

	if (ops)
		call = *(virtio_suspend_pm_callback *)((const char *)ops + callback);
	if (!call && dev->driver && dev->driver->pm)
		call = *(virtio_suspend_pm_callback *)((const char *)dev->driver->pm + callback);
	return call ? call(dev) : 0;
}

#define VIRTIO_SUSPEND_STOCK(name)						\
static int virtio_suspend_stock_##name(struct device *dev)			\
{										\
	return virtio_suspend_stock(dev, offsetof(struct dev_pm_ops, name));	\
}

VIRTIO_SUSPEND_STOCK(prepare)
VIRTIO_SUSPEND_STOCK(suspend)
VIRTIO_SUSPEND_STOCK(suspend_late)
VIRTIO_SUSPEND_STOCK(suspend_noirq)
VIRTIO_SUSPEND_STOCK(resume_noirq)
VIRTIO_SUSPEND_STOCK(resume_early)
VIRTIO_SUSPEND_STOCK(resume)
VIRTIO_SUSPEND_STOCK(freeze)
VIRTIO_SUSPEND_STOCK(freeze_late)
VIRTIO_SUSPEND_STOCK(freeze_noirq)
VIRTIO_SUSPEND_STOCK(thaw_noirq)
VIRTIO_SUSPEND_STOCK(thaw_early)
VIRTIO_SUSPEND_STOCK(thaw)
VIRTIO_SUSPEND_STOCK(poweroff)
VIRTIO_SUSPEND_STOCK(poweroff_late)
VIRTIO_SUSPEND_STOCK(poweroff_noirq)
VIRTIO_SUSPEND_STOCK(restore_noirq)
VIRTIO_SUSPEND_STOCK(restore_early)
VIRTIO_SUSPEND_STOCK(restore)
VIRTIO_SUSPEND_STOCK(runtime_suspend)
VIRTIO_SUSPEND_STOCK(runtime_resume)
VIRTIO_SUSPEND_STOCK(runtime_idle)

static void virtio_suspend_stock_complete(struct device *dev)
{
	const struct dev_pm_ops *ops = virtio_suspend_stock_ops(dev);

	if (ops && ops->complete)
		ops->complete(dev);
	else if (dev->driver && dev->driver->pm && dev->driver->pm->complete)
		dev->driver->pm->complete(dev);
}

static struct virtio_suspend *virtio_suspend_of_parent(struct device *dev)
{
	return container_of(dev->pm_domain, struct virtio_suspend, domain);
}

/*
 * In place of the bus's suspend. The device keeps its power, as a change of its
 * power state may reset it, and stays enabled.
 */
static int virtio_suspend_pm_suspend(struct device *dev)
{
	struct virtio_suspend *vs = virtio_suspend_of_parent(dev);
	int err;

	pm_runtime_resume(dev);
	err = virtio_suspend_hold(vs, VIRTIO_HELD_BY_SLEEP);
	vs->slept_stock = false;
	if (!err) {
		/* A driver that saves the state of its PCI device leaves it in D0. */
		if (dev_is_pci(dev))
			pci_save_state(to_pci_dev(dev));
		return 0;
	}
	/* A lost device needs nothing. One that would be waited for now would be so again. */
	if (vs->state == VIRTIO_LOST)
		return 0;
	if (err == -EBUSY)
		return err;
	/* One that cannot suspend does not keep the machine awake. */
	err = virtio_suspend_stock_suspend(dev);
	vs->slept_stock = !err;
	return err;
}

static int virtio_suspend_pm_resume(struct device *dev)
{
	struct virtio_suspend *vs = virtio_suspend_of_parent(dev);

	if (vs->slept_stock) {
		vs->slept_stock = false;
		return virtio_suspend_stock_resume(dev);
	}
	/* What was saved is restored by now if it had to be. */
	if (dev_is_pci(dev))
		to_pci_dev(dev)->state_saved = false;
	if (vs->state == VIRTIO_LOST)
		return 0;
	return virtio_suspend_release(vs, VIRTIO_HELD_BY_SLEEP);
}

static const struct dev_pm_ops virtio_suspend_pm_ops = {
	.prepare = virtio_suspend_stock_prepare,
	.complete = virtio_suspend_stock_complete,
	.suspend = virtio_suspend_pm_suspend,
	.suspend_late = virtio_suspend_stock_suspend_late,
	.suspend_noirq = virtio_suspend_stock_suspend_noirq,
	.resume_noirq = virtio_suspend_stock_resume_noirq,
	.resume_early = virtio_suspend_stock_resume_early,
	.resume = virtio_suspend_pm_resume,
	.freeze = virtio_suspend_stock_freeze,
	.freeze_late = virtio_suspend_stock_freeze_late,
	.freeze_noirq = virtio_suspend_stock_freeze_noirq,
	.thaw_noirq = virtio_suspend_stock_thaw_noirq,
	.thaw_early = virtio_suspend_stock_thaw_early,
	.thaw = virtio_suspend_stock_thaw,
	.poweroff = virtio_suspend_stock_poweroff,
	.poweroff_late = virtio_suspend_stock_poweroff_late,
	.poweroff_noirq = virtio_suspend_stock_poweroff_noirq,
	.restore_noirq = virtio_suspend_stock_restore_noirq,
	.restore_early = virtio_suspend_stock_restore_early,
	.restore = virtio_suspend_stock_restore,
	.runtime_suspend = virtio_suspend_stock_runtime_suspend,
	.runtime_resume = virtio_suspend_stock_runtime_resume,
	.runtime_idle = virtio_suspend_stock_runtime_idle,
};

/*
 * dev_pm_domain_set() wants an unbound device, as the PM core may be in the middle of
 * its callbacks. It is not here: drivers are not bound and unbound during system
 * sleep, and outside of it this domain's callbacks are the ones that it replaces.
 */
static void virtio_suspend_join_domain(struct virtio_suspend *vs)
{
	struct device *parent = vs->vdev->dev.parent;

	if (!parent)
		return;
	if (parent->pm_domain) {
		dev_warn(&vs->vdev->dev,
			 "its bus device has a PM domain: system sleep resets this device\n");
		return;
	}
	vs->domain.ops = virtio_suspend_pm_ops;
	parent->pm_domain = &vs->domain;
}

static void virtio_suspend_leave_domain(struct virtio_suspend *vs)
{
	struct device *parent = vs->vdev->dev.parent;

	if (parent && parent->pm_domain == &vs->domain)
		parent->pm_domain = NULL;
}

/* ---- Attributes of the virtio device ---- */

static ssize_t suspend_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct virtio_suspend *vs = virtio_suspend_find(dev_to_virtio(dev));

	return sysfs_emit(buf, "%d\n", READ_ONCE(vs->state) == VIRTIO_SUSPENDED);
}

static ssize_t suspend_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	struct virtio_suspend *vs;
	bool suspend;
	int err;

	err = kstrtobool(buf, &suspend);
	if (err)
		return err;
	/* Probe and remove, which wait for this function, hold the lock. */
	if (!device_trylock(dev))
		return -EBUSY;
	vs = virtio_suspend_find(dev_to_virtio(dev));
	if (suspend)
		err = virtio_suspend_hold(vs, VIRTIO_HELD_BY_USER);
	else
		err = virtio_suspend_release(vs, VIRTIO_HELD_BY_USER);
	device_unlock(dev);
	return err ? err : count;
}
static DEVICE_ATTR_RW(suspend);

static ssize_t suspend_stats_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char * const states[] = {
		[VIRTIO_RUNNING] = "running",
		[VIRTIO_SUSPENDED] = "suspended",
		[VIRTIO_LOST] = "lost",
	};
	struct virtio_suspend *vs = virtio_suspend_find(dev_to_virtio(dev));

	return sysfs_emit(buf,
			  "state %s\ncycles %lu\nfailures %lu\nresets %lu\nsuspend_us %lld\nresume_us %lld\n",
			  states[READ_ONCE(vs->state)], READ_ONCE(vs->cycles),
			  READ_ONCE(vs->failures), READ_ONCE(vs->resets),
			  vs->suspend_us, vs->resume_us);
}
static DEVICE_ATTR_RO(suspend_stats);

static struct attribute *virtio_suspend_attrs[] = {
	&dev_attr_suspend.attr,
	&dev_attr_suspend_stats.attr,
	NULL,
};

static const struct attribute_group virtio_suspend_group = {
	.attrs = virtio_suspend_attrs,
};

/* ---- The life of a device ---- */

int virtio_suspend_register(struct virtio_device *vdev, const struct virtio_suspend_ops *ops)
{
	struct virtio_suspend *vs;
	unsigned long flags;
	int err;

	if (!__virtio_test_bit(vdev, VIRTIO_F_SUSPEND))
		return 0;

	vs = kzalloc(sizeof(*vs), GFP_KERNEL);
	if (!vs)
		return -ENOMEM;
	vs->vdev = vdev;
	vs->ops = ops;
	mutex_init(&vs->lock);
	spin_lock_init(&vs->config_lock);

	spin_lock_irqsave(&virtio_suspend_devices_lock, flags);
	list_add(&vs->list, &virtio_suspend_devices);
	spin_unlock_irqrestore(&virtio_suspend_devices_lock, flags);

	err = sysfs_create_group(&vdev->dev.kobj, &virtio_suspend_group);
	if (err) {
		virtio_suspend_unregister(vdev);
		return err;
	}
	virtio_suspend_join_domain(vs);
	return 0;
}
EXPORT_SYMBOL_GPL(virtio_suspend_register);

void virtio_suspend_prepare_remove(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);

	if (!vs)
		return;
	/* Waits for a write that is under way. */
	sysfs_remove_group(&vdev->dev.kobj, &virtio_suspend_group);
	virtio_suspend_leave_domain(vs);

	mutex_lock(&vs->lock);
	vs->removing = true;
	virtio_suspend_hold_config(vs);
	vs->holds = 0;
	/* Removing a driver takes a device that answers, if only to write out what is dirty. */
	virtio_suspend_leave(vs);
	mutex_unlock(&vs->lock);
}
EXPORT_SYMBOL_GPL(virtio_suspend_prepare_remove);

void virtio_suspend_unregister(struct virtio_device *vdev)
{
	struct virtio_suspend *vs = virtio_suspend_find(vdev);
	unsigned long flags;

	if (!vs)
		return;
	spin_lock_irqsave(&virtio_suspend_devices_lock, flags);
	list_del(&vs->list);
	spin_unlock_irqrestore(&virtio_suspend_devices_lock, flags);
	kfree(vs);
}
EXPORT_SYMBOL_GPL(virtio_suspend_unregister);

MODULE_DESCRIPTION("Suspend and resume of virtio devices (VIRTIO_F_SUSPEND)");
MODULE_LICENSE("GPL");
