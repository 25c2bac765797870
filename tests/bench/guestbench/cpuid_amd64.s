#include "textflag.h"

// func cpuid()
TEXT ·cpuid(SB), NOSPLIT, $0-0
	MOVL $0, AX
	MOVL $0, CX
	CPUID
	RET
