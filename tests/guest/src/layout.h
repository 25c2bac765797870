/* Constants that the assembler and the C sources share. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define BOOTED_LINUX32 1
#define BOOTED_LINUX64 2
#define BOOTED_PVH 3

#define CODE32 0x08
#define CODE64 0x10
#define DATA 0x18

#define CR0_PE (1 << 0)
#define CR0_PG (1 << 31)
#define CR4_PAE (1 << 5)
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)

#define PTE_PRESENT_WRITE 0x03
#define PTE_LARGE 0x83
#define PTE_UNCACHED 0x18 /* PCD and PWT */

#define STACK_SIZE 0x4000
#define AP_STACK_SIZE 0x1000
#define MAX_APS 64
#define TRAMPOLINE 0x8000 /* below 1 MiB, 4 KiB aligned: the vector of a start-up IPI is its page */

/* 0x00-0x1f exceptions, 0x20-0x2f the two PICs, 0x30-0x3f LAPIC, IOAPIC and IPIs. */
#define VECTORS 64
#define VECTOR_PIC 0x20
#define VECTOR_APIC 0x30
#define VECTOR_SPURIOUS 0x3f

/* Exceptions that push an error code: 8, 10-14, 17, 21, 29, 30 (Intel SDM volume 3, table 6-1). */
#define ERROR_CODE_VECTORS 0x60227d00

#endif
