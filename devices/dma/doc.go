// Package dma models the two cascaded 8237A DMA controllers of a PC and their
// page registers, after the Intel 8237A data sheet and the register map of the
// 82371SB (PIIX3).
//
//	ports      controller  channels             unit
//	0x00-0x0F  1           0 to 3               bytes
//	0xC0-0xDF  2           4 (cascade), 5 to 7  16-bit words, registers at even ports
//	0x81-0x8F  page registers: address bits 23:16 of each channel
//
// A device owns a [Channel] and moves data through it: the channel decides how
// much, where to, and when the terminal count is reached. A transfer takes no
// time, so demand, single and block mode differ in nothing, and neither do
// timing, priority and the polarity of DREQ and DACK.
//
// Left out: memory-to-memory transfers, which the PIIX3 does not have either;
// hence the temporary register reads as 0. A software request moves no data, as
// no device drives the bus, but counts to the end.
package dma
