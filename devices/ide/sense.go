package ide

import "fmt"

// Sense is why a packet command has failed (MMC-3, annex A): the sense key, the
// additional code and its qualifier. 0 is no failure.
//
//	 23  16 15   8 7     0
//	+------+------+-------+
//	| key  | ASC  | ASCQ  |
//	+------+------+-------+
type Sense uint32

// What is used of them.
const (
	senseNoMediumClosed Sense = 0x023A01
	senseNoMediumOpen   Sense = 0x023A02
	senseUnreadable     Sense = 0x031100
	senseInvalidCommand Sense = 0x052000
	senseOutOfRange     Sense = 0x052100
	senseInvalidField   Sense = 0x052400
	senseIncompatible   Sense = 0x053002 // of the medium with the command
	senseNotSaved       Sense = 0x053900 // mode pages
	senseLocked         Sense = 0x055302
	senseWrongMode      Sense = 0x056400 // of the track
	senseMediumChanged  Sense = 0x062800
	senseDataPhase      Sense = 0x0B4B00
)

// Key is the sense key.
func (s Sense) Key() uint8 { return uint8(s >> 16) }

// ASC is the additional sense code.
func (s Sense) ASC() uint8 { return uint8(s >> 8) }

// ASCQ is the qualifier of the additional sense code.
func (s Sense) ASCQ() uint8 { return uint8(s) }

// String is in the notation key/ASC/ASCQ.
func (s Sense) String() string { return fmt.Sprintf("%02x/%02x/%02x", s.Key(), s.ASC(), s.ASCQ()) }
