package block

// Scatter copies p into vec from byte skip of vec on.
func Scatter(vec [][]byte, skip int64, p []byte) {
	for _, b := range vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		p = p[copy(b[skip:], p):]
		skip = 0
		if len(p) == 0 {
			return
		}
	}
}

// Gather fills p from byte skip of vec on.
func Gather(p []byte, vec [][]byte, skip int64) {
	for _, b := range vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		p = p[copy(p, b[skip:]):]
		skip = 0
		if len(p) == 0 {
			return
		}
	}
}
