/* A driver of virtio devices on PCI (Virtual I/O Device specification 1.3): the transport in both its
   interfaces (virtio_pci.c, virtio_start.c), split and packed rings (virtio_ring.c), interrupts
   (virtio_irq.c). The command line says how: virtio=legacy|modern|packed, irq=intx|msix. */
#ifndef VIRTIO_H
#define VIRTIO_H

#include "kernel.h"

enum { VIRTIO_NET = 1, VIRTIO_BLK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4, VIRTIO_BALLOON = 5 };

/* Section 6, and the legacy features of 6.3 */
#define BIT(n) (1ul << (n))
#define F_NOTIFY_ON_EMPTY BIT(24)
#define F_ANY_LAYOUT BIT(27)
#define F_INDIRECT BIT(28)
#define F_EVENT_INDEX BIT(29)
#define F_BAD_FEATURE BIT(30) /* QEMU's trap for legacy drivers that take all that is offered */
#define F_VERSION_1 BIT(32)
#define F_PACKED BIT(34)
#define F_IN_ORDER BIT(35)
#define F_RING_RESET BIT(40)

/* Device status, section 2.1 */
#define S_ACKNOWLEDGE 1
#define S_DRIVER 2
#define S_DRIVER_OK 4
#define S_FEATURES_OK 8
#define S_NEEDS_RESET 0x40

/* Common configuration, section 4.1.4.3 */
#define C_DEVICE_FEATURE_SELECT 0x00
#define C_DEVICE_FEATURE 0x04
#define C_DRIVER_FEATURE_SELECT 0x08
#define C_DRIVER_FEATURE 0x0c
#define C_CONFIG_VECTOR 0x10
#define C_NUM_QUEUES 0x12
#define C_STATUS 0x14
#define C_GENERATION 0x15
#define C_QUEUE_SELECT 0x16
#define C_QUEUE_SIZE 0x18
#define C_QUEUE_VECTOR 0x1a
#define C_QUEUE_ENABLE 0x1c
#define C_QUEUE_NOTIFY_OFF 0x1e
#define C_QUEUE_DESC 0x20
#define C_QUEUE_DRIVER 0x28
#define C_QUEUE_DEVICE 0x30
#define C_QUEUE_RESET 0x3a

/* Legacy header, section 4.1.4.10 */
#define L_DEVICE_FEATURES 0x00
#define L_DRIVER_FEATURES 0x04
#define L_QUEUE_ADDRESS 0x08
#define L_QUEUE_SIZE 0x0c
#define L_QUEUE_SELECT 0x0e
#define L_QUEUE_NOTIFY 0x10
#define L_STATUS 0x12
#define L_ISR 0x13
#define L_CONFIG_VECTOR 0x14
#define L_QUEUE_VECTOR 0x16

/* Descriptor flags, sections 2.7.5 and 2.8.1 */
#define D_NEXT 1
#define D_WRITE 2
#define D_INDIRECT 4
#define D_AVAIL BIT(7)
#define D_USED BIT(15)

#define NO_VECTOR 0xffff
#define MAX_QUEUES 6	   /* that are set up; a device may have more */
#define MAX_RING 256	   /* entries */
#define MAX_CHAIN 16	   /* buffers of a request */
#define SMALL_SPLIT 32	   /* entries where the driver may choose: few, so that indexes wrap */
#define SMALL_PACKED 13	   /* and that of a packed ring need not be a power of 2 */

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t id, flags; /* of a split ring: flags, next */
};

struct buffer {
	void *at;
	uint32_t size; /* bytes */
	bool write;    /* the device writes it */
};

struct queue {
	struct virtio *v;
	unsigned index, size;
	bool packed, event_index, indirect; /* indirect: use it for all that is added */
	bool quiet;			    /* no interrupt wanted */
	uint64_t desc, driver, device;	    /* the three areas */
	unsigned vector;		    /* in the IDT */
	unsigned free_id[MAX_RING], free_ids;
	uint16_t entries[MAX_RING]; /* that the chain with this id takes of the ring */
	unsigned in_use;
	uint16_t next;	 /* packed: the next entry; split: the available index */
	uint16_t taken;	 /* packed: the next entry to look at; split: the used index */
	bool wrap, taken_wrap;
	uint16_t unkicked; /* entries added since the last look at what the device wants */
	unsigned kicks, kicks_saved;
	unsigned unknown; /* used chains that were not in use */
};

struct virtio {
	uint32_t fn; /* PCI address */
	unsigned type;
	bool legacy, packed, msix;
	uint64_t bar[6], bar_size[6]; /* address and bytes */
	uint8_t bar_flags[6];	      /* of the register */
	uint16_t io;		      /* of the legacy interface */
	uint64_t common, isr, config, notify;
	uint32_t notify_multiplier;
	uint8_t msix_cap, window_cap;
	unsigned entries; /* of the MSI-X table */
	uint64_t table, pending;
	uint64_t offered, features;
	unsigned queues;
	struct queue queue[MAX_QUEUES];
	volatile uint8_t isr_seen; /* by the INTx handler */
};

/* virtio_pci.c */
/* virtio_find opens the nth function of a type, with its BARs placed; NULL if there is none. What it
   returns is good until the next call. */
struct virtio *virtio_find(unsigned type, unsigned nth);
const char *virtio_name(unsigned type);
uint32_t bar_read(uint64_t at, unsigned width);
void bar_write(uint64_t at, unsigned width, uint32_t v);
/* common: a register of the common configuration, whose width follows from its place. */
uint32_t common_read(struct virtio *v, unsigned reg);
void common_write(struct virtio *v, unsigned reg, uint32_t value);
uint32_t config_read(struct virtio *v, unsigned offset, unsigned width);
void config_write(struct virtio *v, unsigned offset, unsigned width, uint32_t value);

/* virtio_start.c */
uint8_t virtio_status(struct virtio *v);
void virtio_set_status(struct virtio *v, uint8_t status);
uint8_t virtio_isr(struct virtio *v);
bool virtio_reset(struct virtio *v);
uint64_t virtio_offered(struct virtio *v);
void virtio_accept(struct virtio *v, uint64_t features);
void virtio_select(struct virtio *v, unsigned queue);
/* virtio_negotiate: reset, and up to FEATURES_OK with what is offered of the features; those of the
   rings and of the interface are added. False, with a line, if the device refuses. */
bool virtio_negotiate(struct virtio *v, uint64_t features);
bool virtio_start(struct virtio *v, uint64_t features); /* negotiate, set up the queues, DRIVER_OK */
bool virtio_open(struct virtio *v, uint64_t features);	/* that, interrupts on, and lines of the result */
void virtio_stop(struct virtio *v);			/* reset, interrupts off */

/* virtio_ring.c */
bool queue_setup(struct virtio *v, unsigned index);
void queue_clear(struct queue *q); /* as after a reset */
/* queue_add makes a chain available and returns its id, or -1 if the ring is full. */
int queue_add(struct queue *q, const struct buffer *b, unsigned n);
void queue_kick(struct queue *q); /* notifies the device, if it wants that */
void queue_notify(struct queue *q);
bool queue_take(struct queue *q, unsigned *id, uint32_t *length); /* a used chain, if there is one */
bool queue_wait(struct queue *q, unsigned *id, uint32_t *length);
void queue_interrupts(struct queue *q, bool on);
/* queue_run: add, kick, wait. The used length, or -1 if the device does not answer. */
int64_t queue_run(struct queue *q, const struct buffer *b, unsigned n);

/* virtio_irq.c */
void virtio_irq_on(struct virtio *v); /* INTx or MSI-X, and the processor's */
void virtio_irq_off(struct virtio *v);
uint32_t queue_irqs(struct queue *q); /* interrupts so far */
void msix_mask(struct virtio *v, unsigned entry, bool masked);
unsigned msix_entry(struct virtio *v, unsigned queue);
void msix_enable(struct virtio *v, bool on);

/* Memory for requests, 64 KiB, its content undefined. */
#define BUFFER_BYTES 0x10000
extern uint8_t virtio_buffer[BUFFER_BYTES];
#define PATTERN_STEP 0x9e3779b97f4a7c15ull /* odd: all words of a pattern differ */
void fill(void *at, size_t bytes, uint64_t seed); /* whole 64-bit words, from seed on in such steps */
bool filled(const void *at, size_t bytes, uint64_t seed);
bool zeroed(const void *at, size_t bytes);
void zero(void *at, size_t bytes);
/* hex prints bytes; the result is good until the next call. */
const char *hex(const void *at, unsigned bytes);

#endif
