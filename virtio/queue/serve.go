package queue

// batch is how many chains Serve handles between two looks at whether the
// driver wants an interrupt: enough to share its cost, and few enough that a
// driver that keeps the queue full does not wait for long.
const batch = 16

// Serve gives each chain of the queue to handle until the queue is paused or
// stopped, or the doorbell closed; then it returns nil. It returns the error of
// handle, or the *Violation of the driver: the device then needs a reset.
//
// While it is busy the driver is asked not to notify. The handler pushes the
// chain, at once or later. Serve flushes what was pushed at least after every
// few chains and before it sleeps; a handler that blocks flushes before it
// does, and who pushes from elsewhere flushes too.
func Serve(q *Queue, handle func(*Chain) error) error {
	for {
		q.DisableNotify()
		if err := q.drain(handle); err != nil {
			return err
		}
		if q.EnableNotify() {
			continue
		}
		if !q.Wait() {
			return nil
		}
	}
}

// drain handles what is available.
func (q *Queue) drain(handle func(*Chain) error) error {
	defer q.Flush()
	for n := 1; ; n++ {
		c, err := q.Pop()
		if c == nil {
			return err
		}
		if err := handle(c); err != nil {
			return err
		}
		if n%batch == 0 {
			q.Flush()
		}
	}
}
