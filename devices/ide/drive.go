package ide

import (
	"github.com/govmm/govmm/block"
)

// bufferSize is how much a drive holds of the data that goes through the Data
// register, in bytes.
const bufferSize = 64 << 10

// drive is what disks and CD-ROM drives have in common: the task file, the
// buffer, and one request to the host's disk at a time. The channel's mu
// protects it.
type drive struct {
	ch   *channel
	unit int
	name string // "0:1" is the slave of the primary channel
	dev  device
	s    DriveState
	buf  []byte

	errors  ErrorOptions
	queue   block.Queue // nil without a medium
	request block.Request
	one     [1][]byte // Vec of a request that uses the buffer
	direct  bool      // the request uses the bus master's vec

	inFlight bool // the host's disk has the request, or something in the background is done
	held     bool // the request is to be submitted on Resume
	// abandoned is a request in flight whose result nobody wants.
	abandoned bool
	resetting bool // DEVICE RESET waits for it
	counters  counters
}

// device is what differs between the kinds of drives. Its methods are called
// with the channel's mu held.
type device interface {
	// packet reports whether the drive takes PACKET commands.
	packet() bool
	// powerOn and reset set the state after power-on, and after SRST or DEVICE
	// RESET, but for the task file.
	powerOn(before DriveState)
	reset()
	// execute starts a command. The drive is idle.
	execute(command uint8)
	// moved is told that the host has read (DataIn) or written (DataOut) all of
	// what it could, which left the drive busy.
	moved(phase Phase)
	// dma moves data by the bus master, in phase DMA. On an error, which is the
	// driver's, dmaEnded follows.
	dma() error
	dmaEnded(short bool)
	// narrow may go on with a smaller request after one has failed, to find out
	// which part of it is bad. It is false when there is none.
	narrow() bool
	// done is told the result of the request, once the error policy has had its
	// say.
	done(err error)
	// close lets go of the back end. mu is not held, and nothing is in flight.
	close() error
}

// powerOn sets the state after power-on.
func (d *drive) powerOn() {
	before := d.s
	d.s = DriveState{}
	d.dev.powerOn(before)
	d.signature()
}

// signature leaves in the task file what tells the kinds of drives apart
// (ATA/ATAPI-6, section 9.12).
func (d *drive) signature() {
	d.s.Count, d.s.Low, d.s.Mid, d.s.High = 1, 1, 0, 0
	d.s.Error = diagnosticPassed
	d.s.Status = statusReady
	if d.dev.packet() {
		d.s.Mid, d.s.High = 0x14, 0xEB
		d.s.Status = 0
	}
	d.s.Interrupt = false
	d.s.Phase = Idle
}

// busy is the state of a drive that works on a command.
func (d *drive) busy() {
	d.s.Status = statusBSY
	d.s.Phase = Busy
}

// idle ends a command.
func (d *drive) idle(status uint8) {
	d.s.Status = status
	d.s.Phase = Idle
}

// succeed ends a command.
func (d *drive) succeed() {
	d.idle(statusReady)
	d.s.Interrupt = true
}

// fail ends a command with an error.
func (d *drive) fail(err uint8) {
	d.s.Error = err
	d.idle(statusReady | statusERR)
	d.s.Interrupt = true
}

// offer lets the host read the buffer from one byte to another.
func (d *drive) offer(from, to uint32) {
	d.s.Position, d.s.End = from, to
	d.s.Phase = DataIn
	d.s.Status = statusReady | statusDRQ
	d.s.Interrupt = true
}

// demand lets the host write the buffer from one byte to another.
func (d *drive) demand(from, to uint32, interrupt bool) {
	d.s.Position, d.s.End = from, to
	d.s.Phase = DataOut
	d.s.Status = statusReady | statusDRQ
	d.s.Interrupt = d.s.Interrupt || interrupt
}

// awaitDMA lets the bus master move data. DRQ is set, as in a drive that has
// asserted DMARQ.
func (d *drive) awaitDMA() {
	d.s.Phase = DMA
	d.s.Status = statusReady | statusDRQ
	d.ch.runDMA()
}

// readData answers a read of the Data register, word by word.
func (d *drive) readData(data []byte) {
	for len(data) > 0 {
		word := data[:min(2, len(data))]
		data = data[len(word):]
		if d.s.Phase != DataIn {
			clear(word)
			continue
		}
		if n := copy(word, d.buf[d.s.Position:d.s.End]); n < len(word) {
			word[n] = 0 // an odd number of bytes is filled up
		}
		d.advance()
	}
}

// writeData takes a write to the Data register, word by word.
func (d *drive) writeData(data []byte) {
	for len(data) > 0 {
		word := data[:min(2, len(data))]
		data = data[len(word):]
		if d.s.Phase != DataOut {
			return
		}
		copy(d.buf[d.s.Position:d.s.End], word)
		d.advance()
	}
}

// advance goes to the next word.
func (d *drive) advance() {
	d.s.Position += 2
	if d.s.Position < d.s.End {
		return
	}
	d.s.Position = d.s.End
	phase := d.s.Phase
	d.busy()
	d.dev.moved(phase)
}

// buffer is the Vec of a request that uses n bytes of the buffer.
func (d *drive) buffer(n uint32) [][]byte {
	d.one[0] = d.buf[:n]
	return d.one[:]
}

// submit hands a request to the host's disk. length is for requests without vec.
func (d *drive) submit(op block.Op, offset int64, vec [][]byte, length int64) {
	d.busy()
	r := &d.request
	r.Op, r.Offset, r.Vec, r.Length = op, offset, vec, length
	d.direct = false
	d.start()
}

// submitDirect hands over a request that moves what the bus master has gathered.
func (d *drive) submitDirect(op block.Op, offset int64) {
	d.busy()
	b := &d.ch.busMaster
	r := &d.request
	r.Op, r.Offset, r.Vec, r.Length = op, offset, b.vec[:b.segments], 0
	d.direct = true
	d.start()
}

func (d *drive) start() {
	if d.ch.paused {
		d.held = true
		return
	}
	d.inFlight = true
	d.queue.Submit(&d.request)
	d.queue.Kick()
}

// background runs f, which waits, beside the vCPUs; done is told its result.
func (d *drive) background(f func() error) {
	d.busy()
	d.inFlight = true
	go func() {
		err := f()
		d.ch.mu.Lock()
		defer d.ch.mu.Unlock()
		d.returned()
		if !d.wasAbandoned() {
			d.dev.done(err)
		}
		d.ch.update()
	}()
}

// abandon drops what the drive is doing. What is in flight is waited for: the
// drive is busy until then.
func (d *drive) abandon() {
	d.busy()
	d.s.Interrupt = false
	d.held = false
	d.abandoned = d.inFlight
}

// completed takes the request that the host's disk has done.
func (d *drive) completed([]*block.Request) {
	d.ch.mu.Lock()
	defer d.ch.mu.Unlock()
	if d.direct && d.request.Op == block.Read {
		d.ch.busMaster.markDirty()
	}
	d.returned()
	if !d.wasAbandoned() {
		d.finish(d.request.Err)
	}
	d.ch.update()
}

// returned notes that nothing is in flight.
func (d *drive) returned() {
	d.inFlight = false
	d.ch.idle.Broadcast()
}

// wasAbandoned reports whether the result is not wanted, and goes on with the
// reset that was waiting for it.
func (d *drive) wasAbandoned() bool {
	was := d.abandoned
	d.abandoned = false
	if was {
		d.ch.settle()
	}
	return was
}

// finish gives the result of a request to the drive, or keeps the request, as
// the error policy says.
func (d *drive) finish(err error) {
	r := &d.request
	if err != nil && !block.GuestsFault(err) {
		if d.dev.narrow() {
			return
		}
		d.counters.ops[r.Op].errors.Add(1)
		action := d.errors.Policy.Action(r.Op, err)
		d.held = action == block.StopOnError
		if d.errors.OnError != nil {
			d.errors.OnError(block.IOError{Op: r.Op, Offset: r.Offset, Length: r.Bytes(), Err: err, Action: action})
		}
		switch action {
		case block.StopOnError:
			return
		case block.IgnoreError:
			err = nil
		}
	}
	if err == nil {
		d.counters.ops[r.Op].requests.Add(1)
		d.counters.ops[r.Op].bytes.Add(uint64(r.Bytes()))
	}
	d.dev.done(err)
}
