// Module peers names what govmm is measured beside and what is written in Go. It
// is a module of its own, since that is no dependency of govmm: it is fetched
// when it is measured.
module github.com/govmm/govmm/tests/bench/peers

go 1.26

tool github.com/bobuhiro11/gokvm

require (
	github.com/alecthomas/kong v0.8.0 // indirect
	github.com/bobuhiro11/gokvm v0.0.8-0.20231003020000-f53faca69d28 // indirect
	golang.org/x/arch v0.2.0 // indirect
)
