// Package crypt encrypts disks sector by sector, as Linux's dm-crypt, LUKS and
// QEMU's image formats do.
//
// A [Cipher] is a block cipher in a mode, with a way to make each sector's
// initialisation vector of its number, written as dm-crypt does:
// aes-xts-plain64, aes-cbc-essiv:sha256. [Layer] puts one between a disk and the
// store that holds its encrypted bytes. Where the key comes from is the concern
// of others: package luks reads it from a container's key slots, and [Legacy]
// makes it of a passphrase as the first qcow images did.
//
// The modes are those of IEEE 1619 (XTS) and NIST SP 800-38A (CBC); the
// initialisation vectors those of dm-crypt.
//
// # What it does not do
//
// It hides content, not use: who can read the store sees which sectors change,
// and who can write it can put back older sectors, or with CBC change bits,
// unseen. Discarding is not passed on, as that would show which sectors are in
// use, and would read as noise afterwards.
//
// Left out are block ciphers other than AES, the modes of old loop devices
// (lmk, tcw, benbi) and sectors with authentication tags (dm-integrity).
package crypt
