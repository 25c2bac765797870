//go:build !race

package crypt

const dropsPooled = false
