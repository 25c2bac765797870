// Package floppy models the Intel 82077AA floppy disk controller of a PC with
// up to two drives, after its data sheet (May 1994).
//
//	port   read                 write
//	0x3F0  SRA, status A        -
//	0x3F1  SRB, status B        -
//	0x3F2  DOR, digital output  DOR
//	0x3F3  TDR, tape drive      TDR
//	0x3F4  MSR, main status     DSR, data rate select
//	0x3F5  FIFO                 FIFO
//	0x3F7  DIR, digital input   CCR, configuration control
//
// The guest sees a disk with the format that its size stands for: sectors of
// 512 bytes in MFM, numbered from 1, none of them deleted.
//
// What differs from the chip and its drives:
//
//   - Seeks and rotation take no time. A motor need not be on.
//   - A transfer for which the DMA channel is not ready waits for it instead of
//     being overrun.
//   - Disks of 40 cylinders can be read at 250 and at 300 kbit/s in every drive.
//   - FORMAT TRACK writes its filler, and accepts only the format the disk has.
//   - WRITE DELETED DATA writes as WRITE DATA does.
//
// A disk that is written to has its write cache turned off, since there is no
// command to flush it.
package floppy
