package crypt

// Legacy is the cipher of images of the formats qcow and qcow2 with the crypt
// method 1: AES-128 in CBC mode under the first 16 bytes of the passphrase, filled
// up with zeroes. Sectors are numbered as the guest does.
//
// There is no way to tell whether the passphrase is right: a wrong one gives
// noise. And a key that is a passphrase is soon guessed, by who has a sector whose
// content is known. QEMU has only its tools open such images for these reasons,
// and so LUKS is what new ones should have.
func Legacy(passphrase []byte) (*Cipher, error) {
	key := make([]byte, 16)
	defer clear(key)
	copy(key, passphrase)
	return New("aes-cbc-plain64", key, SectorSize)
}
