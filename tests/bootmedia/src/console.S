/*
 * Printing in real mode, shared by boot.S and pxe.S: through the BIOS to COM1
 * (INT 14h) and, for one line, to the screen (INT 10h). All registers are kept.
 *
 * say prints the start of a line, "NAME LABEL ", and the text at SI.
 */

/* open: COM1 to 9600 baud, 8 bits, no parity, 1 stop bit. */
open:
	pushaw
	movw	$0x00e3, %ax
	xorw	%dx, %dx
	int	$0x14
	popaw
	ret

/* put: the character in AL to COM1. */
put:
	pushaw
	movb	$0x01, %ah
	xorw	%dx, %dx
	int	$0x14
	popaw
	ret

/* text: the characters at SI up to a zero to COM1. */
text:
	pushaw
1:	lodsb
	testb	%al, %al
	jz	2f
	call	put
	jmp	1b
2:	popaw
	ret

say:
	pushw	%si
	movw	$name, %si
	call	text
	movw	$label, %si
	call	text
	movb	$' ', %al
	call	put
	popw	%si
	jmp	text

/* hex: the low CL digits of EAX to COM1. */
hex:
	pushal
	movb	$8, %ch
	subb	%cl, %ch
	shlb	$2, %ch			/* bits above the wanted ones */
	xchgb	%cl, %ch
	roll	%cl, %eax
	movb	%ch, %cl
1:	roll	$4, %eax
	movl	%eax, %edx
	andb	$0x0f, %al
	addb	$'0', %al
	cmpb	$'9', %al
	jbe	2f
	addb	$'a' - '9' - 1, %al
2:	call	put
	movl	%edx, %eax
	decb	%cl
	jnz	1b
	popal
	ret

newline:
	pushw	%si
	movw	$crlf, %si
	call	text
	popw	%si
	ret

/*
 * finish ends the run: by the debug exit port where the machine has one (the
 * tests of package guest leave by it with the same value), and by idling.
 */
finish:
	movb	$0x10, %al
	outb	%al, $0xf4
1:	sti
	hlt
	jmp	1b

crlf:	.asciz "\r\n"
