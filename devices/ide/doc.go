// Package ide models the IDE function of the PIIX3, with ATA disks and ATAPI
// CD-ROM drives on its two channels.
//
// Sources: Intel 82371SB PIIX3 data sheet (290550) for the function and its bus
// master; ATA/ATAPI-6 to ATA8-ACS (T13 1410D, 1532D, 1699D) for the disks; SFF
// 8020i and MMC-3 for the CD-ROM drives. Where these leave a choice, or describe
// what no driver of a virtual machine expects, the model does what QEMU's does.
//
// A channel is its registers, its bus master and two drives. Commands run one at
// a time on a channel, and all that needs the host's disk runs beside the vCPUs:
// the drive shows BSY until the host is done.
//
// What differs from real drives:
//
//   - A drive that is not there reads as zeroes, in all of its registers, also
//     while there is another on the cable. So drivers do not find its ghost.
//   - A reset takes effect at once, unless a request is with the host's disk:
//     then the drive is busy until that is done (ATA allows half a minute), so
//     that no data arrives in guest memory after a reset.
//   - A DMA transfer that finds its table of memory regions (PRD) too short ends
//     as if it was done, without an interrupt, rather than leave the drive
//     waiting for good.
//   - Data that PIO writes is gathered and reaches the host's disk up to 64 KiB
//     at a time; PIO reads are read ahead within the command.
//   - A sleeping drive wakes up for any command, not only for a reset.
//   - A CD-ROM drive raises no unit attention after power-on, only after a change
//     of the medium.
//
// How a machine is wired:
//
//	c, err := ide.New(ide.Options{
//		Memory: mem, Lines: [2]irq.Line{irq14, irq15},
//		Drives: [2][2]ide.DriveOptions{{ide.DiskOptions{Backend: disk, Errors: e}}, {ide.CDROMOptions{Errors: e}}},
//	})
//	err = pciBus.Add(c, 1, 1)
//	err = ports.Add(ide.PrimaryCommandPort, ide.CommandPorts, "ide0", c.CommandBlock(0))
//	err = ports.Add(ide.PrimaryControlPort, ide.ControlPorts, "ide0 control", c.ControlBlock(0))
//
// and so on for the secondary channel.
//
// Left out: the CFA, security, host protected area, streaming, tagged queuing
// and general purpose logging feature sets, READ and WRITE LONG, audio tracks and
// writing to media. The timing registers are storage.
package ide
