// Package queue is the device's side of virtqueues, split and packed (Virtual
// I/O Device specification 1.3, sections 2.6 to 2.8).
package queue
