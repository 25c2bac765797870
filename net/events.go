package net

import "golang.org/x/sys/unix"

// poll is what poll(2) is asked for.
func (e Events) poll() int16 {
	var events int16
	if e&ToReceive != 0 {
		events |= unix.POLLIN
	}
	if e&ToSend != 0 {
		events |= unix.POLLOUT
	}
	return events
}

// ready is which of the events poll(2) has found. An error is found by trying.
func (e Events) ready(revents int16) Events {
	if revents&(unix.POLLERR|unix.POLLHUP) != 0 {
		return e
	}
	var found Events
	if revents&unix.POLLIN != 0 {
		found |= ToReceive
	}
	if revents&unix.POLLOUT != 0 {
		found |= ToSend
	}
	return e & found
}

// clearEvents notes that nothing has been found.
func clearEvents(polls []unix.PollFd) {
	for i := range polls {
		polls[i].Revents = 0
	}
}
