// Package luks opens and creates LUKS containers, versions 1 and 2: encrypted
// disks whose key is kept in the container itself, in key slots that each open
// with a passphrase.
//
// # The format
//
//	        LUKS1                               LUKS2
//	0       header, 592 bytes                   header, 4096 bytes, and its JSON area
//	        key slots 0 to 7                    both again
//	        ...                                 key slots 0 to 31
//	        the encrypted disk                  the encrypted disk
//
// A key slot holds the volume key, spread over 4000 stripes so that erasing any
// part of it erases the key, and encrypted under a key that is derived of a
// passphrase by PBKDF2 or Argon2, which are made to take long. A digest of the
// volume key tells whether it came out right.
//
// The sources are the LUKS1 on-disk format specification 1.2.3 and the LUKS2
// on-disk format specification 1.1.1, of the cryptsetup project.
//
// # Hostile containers
//
// Every number is checked before it is used. A header's size, the key slots and
// the memory and time that key derivation may take are bounded (see [Limits]):
// a container that wants more is refused by name.
//
// # Left out
//
// Detached headers; ciphers other than AES (see package crypt); LUKS2 containers
// that have authentication tags (dm-integrity), several segments, or are in the
// middle of being encrypted anew; tokens; adding and removing key slots of an
// existing container, which cryptsetup does.
package luks
