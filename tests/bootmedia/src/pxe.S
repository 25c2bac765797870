/*
 * A network bootstrap program: it finds the !PXE structure, asks for the DHCP
 * server's answer, and says on COM1 what address the machine was given.
 *
 * Source: Intel, Preboot Execution Environment Specification 2.1, sections
 * 3.1.2 (!PXE), 3.3.1 (PXENV_GET_CACHED_INFO) and 4.4.5 (the state at entry:
 * loaded to 0:7C00h, SS:[SP+4] the far address of !PXE).
 */
	.code16
	.text
	.globl	_start
_start:
	movw	%sp, %bp
	lesw	4(%bp), %di
	ljmp	$0, $start
start:
	xorw	%ax, %ax
	movw	%ax, %ds
	cld
	call	open
	movw	$signaturemsg, %si
	cmpl	$0x45585021, %es:(%di)	/* "!PXE" */
	jne	fail
	movl	%es:0x10(%di), %eax	/* EntryPointSP */
	movl	%eax, entry
	movw	%ds, %ax
	movw	%ax, %es
	pushw	%ds
	pushw	$request
	pushw	$0x0071			/* PXENV_GET_CACHED_INFO */
	lcall	*entry
	addw	$6, %sp
	movw	$requestmsg, %si
	testw	%ax, %ax
	jnz	fail
	movw	$addressmsg, %si
	call	say
	lesw	answer, %di
	movl	%es:16(%di), %eax	/* yiaddr (RFC 2131, section 2) */
	bswapl	%eax
	movb	$8, %cl
	call	hex
	call	newline
	movw	$donemsg, %si
fail:
	call	say
	call	newline
	jmp	finish

#include "console.S"

	.balign	4
entry:	.long	0
request:				/* of PXENV_GET_CACHED_INFO */
	.word	0			/* status */
	.word	2			/* packet type: DHCPACK */
	.word	0			/* size of the buffer: 0 is for where it is */
answer:	.long	0
	.word	0

name:		.asciz "pxe "
label:		.asciz "nbp"
signaturemsg:	.asciz "error: no !PXE"
requestmsg:	.asciz "error: no DHCPACK"
addressmsg:	.asciz "address "
donemsg:	.asciz "done"
