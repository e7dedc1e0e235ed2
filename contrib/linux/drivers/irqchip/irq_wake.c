// SPDX-License-Identifier: GPL-2.0
/*
 * Lets an interrupt wake the machine from suspend-to-idle although its chip knows
 * nothing of that, as the i8259A: there is nothing to set up, as the chip keeps its
 * power. For the serial port of emulated PCs without ACPI.
 *
 * Their i8259A may know nothing but edges. The interrupt that woke the machine up
 * has been acknowledged and not handled, and its line stays high: the kernel has to
 * handle it later, which it does for interrupts that it does not take for levels.
 */
#include <linux/irq.h>
#include <linux/module.h>

static unsigned int irq = 4;
module_param(irq, uint, 0444);
MODULE_PARM_DESC(irq, "The interrupt whose chip it is (4, the first serial port)");

/* The one that was changed, if any. */
static struct irq_chip *chip;
static bool was_level;

static int __init irq_wake_init(void)
{
	struct irq_chip *found = irq_get_chip(irq);

	if (!found)
		return -ENODEV;
	if (found->irq_set_wake || (found->flags & IRQCHIP_SKIP_SET_WAKE))
		return 0;
	chip = found;
	chip->flags |= IRQCHIP_SKIP_SET_WAKE;
	was_level = irqd_is_level_type(irq_get_irq_data(irq));
	irq_clear_status_flags(irq, IRQ_LEVEL);
	return 0;
}

static void __exit irq_wake_exit(void)
{
	if (!chip)
		return;
	if (was_level)
		irq_set_status_flags(irq, IRQ_LEVEL);
	chip->flags &= ~IRQCHIP_SKIP_SET_WAKE;
}

module_init(irq_wake_init);
module_exit(irq_wake_exit);

MODULE_DESCRIPTION("Wake-up from suspend-to-idle by an interrupt whose chip has no say in it");
MODULE_LICENSE("GPL");
