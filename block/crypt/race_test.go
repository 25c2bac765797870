//go:build race

package crypt

// dropsPooled: the race detector has a sync.Pool lose some of what it is given.
const dropsPooled = true
