package ide

import (
	"errors"
	"fmt"

	"github.com/govmm/govmm/block"
)

// Errors of Eject, Insert and the tray.
var (
	// ErrLocked is a tray that the guest keeps closed.
	ErrLocked = errors.New("the guest has locked the tray; it was asked to let go, or use force")
	// ErrOccupied is a drive that has a medium, which must be ejected first.
	ErrOccupied = errors.New("there is a medium in the drive")
	// ErrTrayClosed is a drive in whose tray nothing can be changed.
	ErrTrayClosed = errors.New("the tray is closed; open it first")
)

// MediaEvent is what GET EVENT STATUS NOTIFICATION says next.
type MediaEvent uint8

// The events (MMC-3, table 87).
const (
	NoEvent MediaEvent = iota
	EjectRequest
	NewMedia
	MediaRemoval
)

// Media is where the medium and the tray are.
type Media struct {
	Inserted bool // there is a medium, in the drive or in the open tray
	TrayOpen bool
	Locked   bool // the guest keeps the tray closed
}

// Media returns where the medium and the tray are.
func (k *CDROM) Media() Media {
	k.ch.mu.Lock()
	defer k.ch.mu.Unlock()
	s := &k.s.CDROM
	return Media{Inserted: s.Inserted, TrayOpen: s.TrayOpen, Locked: s.Locked}
}

// OpenTray opens the tray with what is in it, which stays the drive's, and does nothing
// if it is open. When the guest has locked the tray it fails with ErrLocked, having
// asked the guest to eject, unless force is set.
func (k *CDROM) OpenTray(force bool) error {
	k.ch.mu.Lock()
	defer k.ch.mu.Unlock()
	s := &k.s.CDROM
	switch {
	case s.TrayOpen:
		return nil
	case s.Locked && !force:
		s.Event = EjectRequest
		return fmt.Errorf("ide: CD-ROM drive %s: %w", k.name, ErrLocked)
	}
	k.moveTray(true)
	return nil
}

// CloseTray closes the tray with what is in it, and does nothing if it is closed.
func (k *CDROM) CloseTray() {
	k.ch.mu.Lock()
	defer k.ch.mu.Unlock()
	if k.s.CDROM.TrayOpen {
		k.moveTray(false)
	}
}

// Remove takes the medium, if there is one, out of the open tray, as Eject does. It
// fails with ErrTrayClosed.
func (k *CDROM) Remove() error {
	if !k.Media().TrayOpen {
		return fmt.Errorf("ide: CD-ROM drive %s: %w", k.name, ErrTrayClosed)
	}
	return k.Eject(true)
}

// Eject opens the tray and takes the medium out, if there is one. The back end
// is not used any more when it returns. When the guest has locked the tray it
// fails with ErrLocked, having asked the guest to eject, unless force is set. It
// waits for the host's disk to do what is in flight.
func (k *CDROM) Eject(force bool) error {
	k.changes.Lock()
	defer k.changes.Unlock()
	q, err := k.unload(force)
	if err != nil {
		return fmt.Errorf("ide: CD-ROM drive %s: %w", k.name, err)
	}
	if q == nil {
		return nil
	}
	if err := q.Close(); err != nil {
		return fmt.Errorf("ide: CD-ROM drive %s: %w", k.name, err)
	}
	return nil
}

// unload takes the medium out of the guest's sight and waits for what is in
// flight.
func (k *CDROM) unload(force bool) (block.Queue, error) {
	k.ch.mu.Lock()
	defer k.ch.mu.Unlock()
	s := &k.s.CDROM
	if s.Locked && !s.TrayOpen && !force {
		s.Event = EjectRequest
		return nil, ErrLocked
	}
	if s.Inserted && !s.TrayOpen {
		s.Event = MediaRemoval
	}
	s.TrayOpen, s.Inserted, s.UnitAttention = true, false, false
	q := k.queue
	for k.inFlight {
		k.ch.idle.Wait()
	}
	if k.held {
		k.held = false
		k.done(errRemoved)
		k.ch.update()
	}
	k.queue, k.blocks = nil, 0
	return q, nil
}

// Insert puts a medium into the drive and closes the tray. The caller closes the
// back end, after it was ejected or after the Controller. It fails with
// ErrOccupied when there is a medium.
func (k *CDROM) Insert(b block.Backend) error { return k.put(b, false) }

// Place puts a medium into the open tray, and leaves that open. Otherwise it is as
// Insert, and fails with ErrTrayClosed as well.
func (k *CDROM) Place(b block.Backend) error { return k.put(b, true) }

func (k *CDROM) put(b block.Backend, leaveOpen bool) error {
	k.changes.Lock()
	defer k.changes.Unlock()
	var err error
	switch media := k.Media(); {
	case media.Inserted:
		err = ErrOccupied
	case leaveOpen && !media.TrayOpen:
		err = ErrTrayClosed
	default:
		err = k.load(b, leaveOpen)
	}
	if err != nil {
		return fmt.Errorf("ide: CD-ROM drive %s: %w", k.name, err)
	}
	return nil
}

// CheckMedium says why a CD-ROM drive takes no medium of size bytes: it has no
// block.
func CheckMedium(size int64) error {
	if size < blockSize {
		return fmt.Errorf("a medium of %d bytes has no block of %d", size, blockSize)
	}
	return nil
}

// load makes a back end the medium. A guest that closes the tray just then may have it
// in the drive.
func (k *CDROM) load(b block.Backend, leaveOpen bool) error {
	if err := CheckMedium(b.Size()); err != nil {
		return err
	}
	q, err := b.NewQueue(block.QueueOptions{Completed: k.completed, Depth: 1})
	if err != nil {
		return err
	}
	k.ch.mu.Lock()
	defer k.ch.mu.Unlock()
	k.queue, k.blocks = q, uint32(min(b.Size()/blockSize, maxBlocks))
	s := &k.s.CDROM
	s.Inserted = true
	if leaveOpen && s.TrayOpen {
		return nil // the guest sees it once that is closed
	}
	s.TrayOpen, s.UnitAttention, s.Event = false, true, NewMedia
	return nil
}

// ready reports whether the medium can be used.
func (k *CDROM) ready() bool { return k.s.CDROM.Inserted && !k.s.CDROM.TrayOpen }

// noMedium is why it cannot.
func (k *CDROM) noMedium() Sense {
	if k.s.CDROM.TrayOpen {
		return senseNoMediumOpen
	}
	return senseNoMediumClosed
}

// Bits of START STOP UNIT. Requests for a power condition need nothing done.
const (
	startMedium   = 1 << 0
	loadEject     = 1 << 1
	powerRequests = 0xF0
)

// startStop opens or closes the tray.
func (k *CDROM) startStop() {
	s := &k.s.CDROM
	v := s.Packet[4]
	if v&powerRequests != 0 || v&loadEject == 0 {
		k.complete()
		return
	}
	open := v&startMedium == 0
	if open && !s.TrayOpen && s.Locked {
		k.check(senseLocked)
		return
	}
	if open != s.TrayOpen {
		k.moveTray(open)
	}
	k.complete()
}

// moveTray is the guest's, and that of OpenTray and CloseTray. The medium stays in the
// tray.
func (k *CDROM) moveTray(open bool) {
	s := &k.s.CDROM
	s.TrayOpen = open
	s.UnitAttention = false
	if s.Inserted {
		s.UnitAttention = !open
		s.Event = NewMedia
		if open {
			s.Event = MediaRemoval
		}
	}
	if f := k.options.TrayMoved; f != nil {
		f(open)
	}
}

// Classes of events.
const (
	classMedia      = 4
	eventPolled     = 1 << 0
	eventNone       = 1 << 7 // no class that was asked for
	eventTrayOpen   = 1 << 0
	eventHasMedium  = 1 << 1
	eventHeaderSize = 4
)

// eventStatus says what has happened to the medium. The driver polls.
//
//	0        2                 3                  4       5
//	+--------+-----------------+------------------+-------+--------+---+---+
//	| length | NEA | 0 | class | 1 << classMedia  | event | status | 0 | 0 |
//	+--------+-----------------+------------------+-------+--------+---+---+
func (k *CDROM) eventStatus(page []byte) (int, Sense) {
	s := &k.s.CDROM
	if s.Packet[1]&eventPolled == 0 {
		return 0, senseInvalidField
	}
	page[3] = 1 << classMedia
	if s.Packet[4]&(1<<classMedia) == 0 {
		page[1], page[2] = eventHeaderSize-2, eventNone
		return eventHeaderSize, 0
	}
	const size = eventHeaderSize + 4
	page[1], page[2] = size-2, classMedia
	page[4] = uint8(s.Event)
	switch { // a drive cannot see what lies in its open tray
	case s.TrayOpen:
		page[5] = eventTrayOpen
	case s.Inserted:
		page[5] = eventHasMedium
	}
	if s.be16(7) >= size {
		s.Event = NoEvent // the driver sees it
	}
	return size, 0
}
