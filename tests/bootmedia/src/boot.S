/*
 * A boot sector with what it loads: it says on COM1 which drive it was booted
 * from and what the BIOS's INT 13h reads from there, and lists the memory map.
 *
 * The image's sectors, of 512 bytes:
 *
 *	0	this file's first part, with the parameters (below) at 0180h; on a
 *		hard disk the partition table is at 01BEh
 *	1-7	its second part, loaded to 7E00h by the first. The BIOS loads the
 *		whole of an El Torito image without emulation.
 *	probe	the pattern that is looked for: "GOVMMSEC", the number of the
 *		sector, then words of four bytes, each the number plus its index.
 *		On a CD it is the image's 2,048-byte sector of that number.
 *
 * Sources: INT 13h functions 02h and 08h of the PC BIOS; Phoenix, BIOS Enhanced
 * Disk Drive Specification 1.1, functions 41h and 42h; El Torito Bootable CD-ROM
 * Format Specification 1.0, function 4B01h; ACPI 6.5, section 15.1, INT 15h E820h.
 */
#define SECTORS		8
#define SECOND		0x5ec0d001
#define BUFFER		0x9000
#define MAPENTRY	0x8e00
#define MAPMAX		128

	.code16
	.text
	.globl	_start
_start:
	cli
	ljmp	$0, $start
start:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	sti
	cld
	movb	%dl, drive
	call	open
	movw	$drivemsg, %si
	call	say
	movzbl	drive, %eax
	movb	$2, %cl
	call	hex
	call	newline

	cmpb	$0, cd
	jne	loaded
load:
	movb	drive, %dl
	testb	%dl, %dl
	jns	1f
	movw	$SECTORS - 1, count	/* a failed read leaves what it has read */
	movb	$0x42, %ah
	movw	$packet, %si
	int	$0x13
	jnc	loaded
1:	movw	$0x0200 + SECTORS - 1, %ax
	movw	$0x0002, %cx		/* cylinder 0, sector 2 */
	movb	$0, %dh
	movb	drive, %dl
	movw	$0x7e00, %bx
	int	$0x13
	jnc	loaded
	decb	tries
	movw	$loadmsg, %si
	jz	fail
	xorw	%ax, %ax		/* reset the drive, as a floppy's motor may have to start */
	int	$0x13
	jmp	load
loaded:
	movw	$badmsg, %si
	cmpl	$SECOND, second
	je	verify

/* fail: the text at SI, and the status in AH. */
fail:
	pushw	%ax
	call	say
	popw	%ax
	movb	%ah, %al
	movb	$2, %cl
	call	hex
	call	newline
	jmp	finish

#include "console.S"

drivemsg:	.asciz "drive "
loadmsg:	.asciz "error: cannot load, status "
badmsg:		.asciz "error: the second part is not there, status "
tries:		.byte 3
drive:		.byte 0

	.balign	4
packet:					/* of function 42h */
	.byte	16, 0
count:	.word	SECTORS - 1
	.word	0x7e00, 0
lba:	.quad	1

/* The parameters, written by the medium's maker. */
	.org	0x180
probe:	.long	0
cd:	.byte	0			/* 1: a CD without emulation */
	.byte	0, 0, 0
label:	.space	16
name:	.asciz	"boot-sector "

	.org	0x1fe
	.word	0xaa55

second:	.long	SECOND

verify:
	movw	$screen1, %si
	call	show
	movw	$label, %si
	call	show
	movw	$screen2, %si
	call	show
	call	eltorito
	cmpb	$0, cd
	jne	1f
	testb	$0x80, drive
	jz	2f
	call	edd
2:	call	chs
1:	call	memorymap
	movw	$donemsg, %si
	call	say
	call	newline
	jmp	finish

/* show: the characters at SI up to a zero to the screen. */
show:
	lodsb
	testb	%al, %al
	jz	1f
	movb	$0x0e, %ah
	movw	$0x0007, %bx
	int	$0x10
	jmp	show
1:	ret

/*
 * eltorito: where the medium is an El Torito CD, its emulation, drive and
 * place from the specification packet (El Torito, figure 10), and without
 * emulation the sector that is to be found.
 */
eltorito:
	call	wipe
	movb	$0x13, BUFFER
	movw	$0x4b01, %ax
	movb	drive, %dl
	movw	$BUFFER, %si
	int	$0x13
	jc	3f
	cmpl	$0, BUFFER + 4		/* some BIOSes answer for other drives, with zeros */
	je	3f
	movw	$cdmsg, %si
	call	say
	movzbl	BUFFER + 1, %eax	/* media type */
	movb	$2, %cl
	call	hex
	movb	$' ', %al
	call	put
	movb	BUFFER + 2, %al		/* drive */
	movb	$2, %cl
	call	hex
	movb	$' ', %al
	call	put
	movl	BUFFER + 4, %eax	/* first sector of the image */
	movb	$8, %cl
	call	hex
	call	newline
	cmpb	$0, cd
	je	2f
	movl	BUFFER + 4, %eax
	addl	probe, %eax
	movw	$2048, %cx
	jmp	extended
3:	cmpb	$0, cd
	movw	$nocdmsg, %si
	jne	fail
2:	ret

/* edd: the sector that is to be found, read by its number. */
edd:
	movb	$0x41, %ah
	movw	$0x55aa, %bx
	movb	drive, %dl
	int	$0x13
	movw	$noeddmsg, %si
	jc	fail
	cmpw	$0xaa55, %bx
	jne	fail
	movl	probe, %eax
	movw	$512, %cx

/* extended: sector EAX of CX bytes by function 42h. */
extended:
	pushw	%cx
	movl	%eax, lba
	movl	$0, lba + 4
	movw	$1, count
	movw	$BUFFER, packet + 4
	call	wipe
	movb	$0x42, %ah
	movb	drive, %dl
	movw	$packet, %si
	int	$0x13
	popw	%cx
	movw	$readmsg, %si
	jc	fail
	movw	$eddmsg, %si
	jmp	compare

/* chs: the same by cylinder, head and sector. */
chs:
	movb	$0x08, %ah
	movb	drive, %dl
	xorw	%di, %di
	int	$0x13			/* CL: sectors, CH: cylinders, DH: last head */
	pushw	%ds
	popw	%es
	movw	$geometrymsg, %si
	jc	fail
	call	say
	movzwl	%cx, %eax
	pushw	%cx
	movb	$4, %cl
	call	hex
	movb	$' ', %al
	call	put
	movzbl	%dh, %eax
	movb	$2, %cl
	call	hex
	call	newline
	popw	%cx
	andw	$0x003f, %cx
	movw	$geometrymsg, %si
	jz	fail
	movzwl	%cx, %ebx		/* sectors of a track */
	movzbl	%dh, %ecx
	incl	%ecx			/* heads */
	movl	probe, %eax
	xorl	%edx, %edx
	divl	%ebx
	pushw	%dx			/* sector, from 0 */
	xorl	%edx, %edx
	divl	%ecx			/* EAX cylinder, EDX head */
	movb	%dl, %dh
	movb	%ah, %cl
	shlb	$6, %cl
	movb	%al, %ch
	popw	%ax
	incw	%ax
	orb	%al, %cl
	call	wipe
	movw	$BUFFER, %bx
	movb	drive, %dl
	movw	$0x0201, %ax
	int	$0x13
	movw	$readmsg, %si
	jc	fail
	movw	$512, %cx
	movw	$chsmsg, %si

/* compare: CX bytes of the buffer with the pattern; SI says how they came. */
compare:
	movb	$0, %ah
	cmpl	$0x4d564f47, BUFFER	/* "GOVM" */
	jne	bad
	cmpl	$0x4345534d, BUFFER + 4	/* "MSEC" */
	jne	bad
	movl	probe, %eax
	cmpl	%eax, BUFFER + 8
	jne	bad
	shrw	$2, %cx
	subw	$3, %cx
	movw	$BUFFER + 12, %di
	addl	$3, %eax
1:	scasl
	jne	bad
	incl	%eax
	loop	1b
	call	say
	movw	$goodmsg, %si
	call	text
	jmp	newline
bad:
	movw	$contentmsg, %si
	movb	$0, %ah
	jmp	fail

/* wipe: the buffer. Registers are kept. */
wipe:
	pushaw
	movw	$BUFFER, %di
	movw	$1024, %cx
	xorw	%ax, %ax
	rep stosw
	popaw
	ret

/* memorymap: what E820h tells, an entry a line, and their number. */
memorymap:
	xorl	%ebx, %ebx
	xorw	%bp, %bp
1:	movl	$0xe820, %eax
	movl	$0x534d4150, %edx	/* "SMAP" */
	movl	$20, %ecx
	movw	$MAPENTRY, %di
	int	$0x15
	jc	2f
	cmpl	$0x534d4150, %eax
	jne	2f
	incw	%bp
	movw	$mapmsg, %si
	call	say
	movw	$MAPENTRY, %di
	call	quad
	call	quad
	movl	(%di), %eax
	movb	$1, %cl
	call	hex
	call	newline
	cmpw	$MAPMAX, %bp
	jae	2f
	testl	%ebx, %ebx
	jnz	1b
2:	movw	$mapcountmsg, %si
	call	say
	movzwl	%bp, %eax
	movb	$2, %cl
	call	hex
	jmp	newline

/* quad: the eight bytes at DI as a number, and a space. DI goes on. */
quad:
	movl	4(%di), %eax
	movb	$8, %cl
	call	hex
	movl	(%di), %eax
	call	hex
	movb	$' ', %al
	call	put
	addw	$8, %di
	ret

screen1:	.asciz "boot-sector "
screen2:	.asciz " on the screen\r\n"
cdmsg:		.asciz "eltorito "
nocdmsg:	.asciz "error: not booted from a CD, status "
noeddmsg:	.asciz "error: no INT 13h extensions, status "
readmsg:	.asciz "error: cannot read, status "
contentmsg:	.asciz "error: another sector was read, status "
geometrymsg:	.asciz "geometry "
eddmsg:		.asciz "edd "
chsmsg:		.asciz "chs "
goodmsg:	.asciz "good"
mapmsg:		.asciz "e820 "
mapcountmsg:	.asciz "e820 entries "
donemsg:	.asciz "done"

	.org	SECTORS * 512
