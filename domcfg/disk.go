package domcfg

import "strconv"

// DiskType is what a disk is on the host.
type DiskType string

// The values of DiskType.
const (
	DiskFile    DiskType = "file"
	DiskBlock   DiskType = "block"
	DiskDir     DiskType = "dir"
	DiskNetwork DiskType = "network"
)

// DiskDevice is what a disk is to the guest.
type DiskDevice string

// The values of DiskDevice.
const (
	DeviceDisk   DiskDevice = "disk"
	DeviceCDROM  DiskDevice = "cdrom"
	DeviceFloppy DiskDevice = "floppy"
	DeviceLUN    DiskDevice = "lun" // newer than the document
)

// Bus is how a disk is attached.
type Bus string

// The values of Bus.
const (
	BusIDE    Bus = "ide"
	BusFDC    Bus = "fdc"
	BusSCSI   Bus = "scsi"
	BusVirtio Bus = "virtio"
	BusUSB    Bus = "usb"
	BusSATA   Bus = "sata"
	BusXen    Bus = "xen"
	BusUML    Bus = "uml"
)

// Disk is an element disk.
type Disk struct {
	DeviceInfo
	Type       DiskType
	Device     DiskDevice
	Driver     *DiskDriver
	Source     *DiskSource
	BlockIO    *BlockIO // newer than the document
	Target     DiskTarget
	BootOrder  uint // from 1, the lowest first; 0 for none; see Domain.BootOrder
	Encryption *Encryption
	ReadOnly   bool // not in the document, yet in every real CD-ROM
	Shareable  bool
	Serial     string
	WWN        WWN // newer than the document; for disks on IDE
}

// SourcePath returns the path of the file, block device or folder, empty for other disks and for
// an empty drive.
func (d *Disk) SourcePath() string {
	if d.Source == nil {
		return ""
	}
	switch d.Type {
	case DiskFile, "":
		return d.Source.File
	case DiskBlock:
		return d.Source.Dev
	case DiskDir:
		return d.Source.Dir
	}
	return ""
}

// SourceName names the source in messages: the path, or the export of a server.
func (d *Disk) SourceName() string {
	if d.Type == DiskNetwork && d.Source != nil {
		return d.Source.Protocol + " export " + strconv.Quote(d.Source.Name)
	}
	return d.SourcePath()
}

// Encrypted returns the element encryption of the source, or else of the disk; nil if neither has
// one.
func (d *Disk) Encrypted() *Encryption {
	if d.Source != nil && d.Source.Encryption != nil {
		return d.Source.Encryption
	}
	return d.Encryption
}

// Removable reports whether the disk is a drive whose medium can be changed.
func (d *Disk) Removable() bool { return d.Device == DeviceCDROM || d.Device == DeviceFloppy }

// HasMedium reports whether there is something in the drive when the guest starts. A hard disk
// always has.
func (d *Disk) HasMedium() bool {
	if !d.Removable() {
		return true
	}
	if d.Source == nil || d.Target.Tray == TrayOpen {
		return false
	}
	switch d.Type {
	case DiskFile, DiskBlock, DiskDir, "":
		return d.SourcePath() != ""
	}
	return true
}

// DiskDriver is the element driver within disk.
type DiskDriver struct {
	Elem
	Name        string // qemu; tap, tap2, phy and file are for Xen
	Type        string // format of the image
	Cache       string // default, none, writethrough or writeback; newer: directsync, unsafe
	ErrorPolicy string // stop, ignore or enospace; newer: report
	IO          string // threads or native; newer: io_uring, which native uses as well

	// Newer than the document.
	Discard      string // unmap, which gives what the guest discards back to the host, or ignore
	DetectZeroes string // off, on or unmap: whether zeroes that are written take up room
	Queues       uint   // virtio: request queues, 1 to 256; 0 for one a vCPU
	Packed       OnOff  // for virtio: offer packed virtqueues
}

// DiskSource is the element source within disk. Which fields count depends on the disk's type.
type DiskSource struct {
	Elem
	File     string
	Dev      string
	Dir      string
	Protocol string // nbd, rbd or sheepdog
	Name     string // image, or export
	Hosts    []*DiskHost

	// Newer than the document, for nbd.
	TLS         YesNo
	TLSHostname string // what the server's certificate must be for, if it is not the host's name

	StartupPolicy StartupPolicy // newer than the document
	Encryption    *Encryption   // newer than the document: for this source alone; see Disk.Encrypted
}

// StartupPolicy is what to do when the source of a CD-ROM or floppy drive is not there.
type StartupPolicy string

// The values of StartupPolicy. An absent one means mandatory.
const (
	StartupMandatory StartupPolicy = "mandatory" // fail
	StartupRequisite StartupPolicy = "requisite" // fail at the start, drop it when the domain is moved
	StartupOptional  StartupPolicy = "optional"  // start with an empty drive
)

// DiskHost is an element host within a disk's source.
type DiskHost struct {
	Elem
	Name string
	Port uint16

	// Newer than the document.
	Transport string // tcp, or unix with a socket in place of name and port; newer: rdma
	Socket    string // path of a unix socket
}

// BlockIO is the element blockio within disk: what the guest is told of its blocks. It is newer
// than the document.
type BlockIO struct {
	Elem
	LogicalBlockSize  uint // bytes, a power of 2 from 512 to 64 KiB; 0 for 512
	PhysicalBlockSize uint // bytes, likewise; 0 for what the host's disk has
}

// DiskTarget is the element target within disk.
type DiskTarget struct {
	Dev  string
	Bus  Bus
	Tray Tray // newer than the document
}

// Tray is the state of a CD-ROM or floppy drive's tray when the guest starts.
type Tray string

// The values of Tray. An absent one means closed.
const (
	TrayOpen   Tray = "open" // there is no medium
	TrayClosed Tray = "closed"
)

// Encryption is the element encryption within disk.
type Encryption struct {
	Elem
	Format  string // default, qcow; newer: luks, which is version 1, luks2, luks-any
	Secrets []*Secret
}

// Secret is an element secret within encryption.
type Secret struct {
	Elem
	Type string // passphrase
	UUID UUID
}

func (d *Disk) code(c *coder) {
	enum(c.attr("type"), &d.Type, DiskFile, DiskBlock, DiskDir, DiskNetwork, "volume", "nvme", "vhostuser", "vhostvdpa")
	enum(c.attr("device"), &d.Device, DeviceDisk, DeviceCDROM, DeviceFloppy, DeviceLUN)
	child(c, "driver", &d.Driver)
	child(c, "source", &d.Source)
	child(c, "blockio", &d.BlockIO)
	c.group("target", func(c *coder) {
		c.attr("dev").required().str(&d.Target.Dev)
		enum(c.attr("bus"), &d.Target.Bus, BusIDE, BusFDC, BusSCSI, BusVirtio, BusXen, BusUSB, BusUML, BusSATA, "sd", "none")
		enum(c.attr("tray"), &d.Target.Tray, TrayOpen, TrayClosed)
	})
	codeBoot(c, &d.BootOrder)
	child(c, "encryption", &d.Encryption)
	c.flag("readonly", &d.ReadOnly)
	c.flag("shareable", &d.Shareable)
	c.leaf("serial").str(&d.Serial)
	value(c.leaf("wwn"), &d.WWN, ParseWWN, WWN.String)
	d.codeInfo(c)
}

func (r *DiskDriver) code(c *coder) {
	c.attr("name").str(&r.Name)
	c.attr("type").str(&r.Type)
	enum(c.attr("cache"), &r.Cache, "default", "none", "writethrough", "writeback", "directsync", "unsafe")
	enum(c.attr("error_policy"), &r.ErrorPolicy, "stop", "ignore", "enospace", "report")
	enum(c.attr("io"), &r.IO, "threads", "native", "io_uring")
	enum(c.attr("discard"), &r.Discard, "unmap", "ignore")
	enum(c.attr("detect_zeroes"), &r.DetectZeroes, "off", "on", "unmap")
	number(c.attr("queues"), &r.Queues, 1, maxDiskQueues)
	c.attr("packed").onOff(&r.Packed)
}

// maxDiskQueues is how many queues a virtio disk can have here.
const maxDiskQueues = 256

func (b *BlockIO) code(c *coder) {
	number(c.attr("logical_block_size"), &b.LogicalBlockSize, 512, 64<<10)
	number(c.attr("physical_block_size"), &b.PhysicalBlockSize, 512, 64<<10)
}

func (s *DiskSource) code(c *coder) {
	c.attr("file").str(&s.File)
	c.attr("dev").str(&s.Dev)
	c.attr("dir").str(&s.Dir)
	enum(c.attr("protocol"), &s.Protocol, "nbd", "rbd", "sheepdog",
		"gluster", "iscsi", "http", "https", "ftp", "ftps", "tftp", "vxhs", "nfs", "ssh")
	c.attr("name").str(&s.Name)
	c.attr("tls").yesNo(&s.TLS)
	c.attr("tlsHostname").str(&s.TLSHostname)
	enum(c.attr("startupPolicy"), &s.StartupPolicy, StartupMandatory, StartupRequisite, StartupOptional)
	children(c, "host", &s.Hosts)
	child(c, "encryption", &s.Encryption)
}

func (h *DiskHost) code(c *coder) {
	c.attr("name").str(&h.Name)
	number(c.attr("port"), &h.Port, 1, 65535)
	enum(c.attr("transport"), &h.Transport, "tcp", "unix", "rdma")
	c.attr("socket").str(&h.Socket)
}

func (e *Encryption) code(c *coder) {
	enum(c.attr("format").required(), &e.Format, "default", "qcow", "luks", "luks2", "luks-any")
	children(c, "secret", &e.Secrets)
}

func (s *Secret) code(c *coder) {
	enum(c.attr("type").required(), &s.Type, "passphrase")
	value(c.attr("uuid"), &s.UUID, ParseUUID, UUID.String)
}
