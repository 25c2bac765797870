package qmp

import "sync"

// How many bytes may wait for a client. Answers wait for room, so that a client
// that asks and does not listen waits for itself. Events do not wait: the client is
// cut off.
const (
	maxAnswers = 256 << 10
	maxWaiting = 1 << 20
)

// An outbox is what one client has yet to be sent.
type outbox struct {
	mu       sync.Mutex
	changed  sync.Cond
	waiting  []byte
	open     bool // for events, which begin after a certain answer
	finished bool // nothing more comes
	broken   bool // nothing can be sent any more
}

func newOutbox() *outbox {
	b := &outbox{}
	b.changed.L = &b.mu
	return b
}

// answer adds a message, when there is room for it.
func (b *outbox) answer(message []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.broken && len(b.waiting) > 0 && len(b.waiting)+len(message) > maxAnswers {
		b.changed.Wait()
	}
	b.add(message)
}

// answerAndOpen adds the answer after which events begin.
func (b *outbox) answerAndOpen(message []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(message)
	b.open = true
}

// event adds a message at once, or reports that there is no room for it.
func (b *outbox) event(message []byte) (ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true
	}
	if len(b.waiting)+len(message) > maxWaiting {
		return false
	}
	b.add(message)
	return true
}

func (b *outbox) add(message []byte) {
	if !b.broken && !b.finished {
		b.waiting = append(b.waiting, message...)
		b.changed.Broadcast()
	}
}

// take waits for messages and returns all there are, in the order they came. ok
// is false when there will be none any more.
func (b *outbox) take() (messages []byte, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.broken && !b.finished && len(b.waiting) == 0 {
		b.changed.Wait()
	}
	messages, b.waiting = b.waiting, nil
	b.changed.Broadcast()
	return messages, len(messages) > 0 && !b.broken
}

// finish lets what waits be sent and takes nothing more.
func (b *outbox) finish() { b.set(&b.finished) }

// giveUp drops what waits.
func (b *outbox) giveUp() { b.set(&b.broken) }

func (b *outbox) set(flag *bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*flag = true
	b.changed.Broadcast()
}
