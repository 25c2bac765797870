package qmp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// The classes of errors (qapi/error.json, QapiErrorClass).
const (
	ClassGeneric         = "GenericError"
	ClassCommandNotFound = "CommandNotFound"
	ClassDeviceNotActive = "DeviceNotActive"
	ClassDeviceNotFound  = "DeviceNotFound"
)

// Error is a command's error as it goes over the wire.
type Error struct {
	Class string `json:"class"`
	Desc  string `json:"desc"` // for a person
}

// Error is the description.
func (e *Error) Error() string { return e.Desc }

// errorOf is an error in the form of the protocol.
func errorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{ClassGeneric, err.Error()}
}

func failf(format string, a ...any) *Error {
	return &Error{ClassGeneric, fmt.Sprintf(format, a...)}
}

// request is what a client wants.
type request struct {
	execute   string
	arguments arguments
	id        json.RawMessage // nil if it has none
}

// parseRequest reads a request. Its id, if it can be found, is there with an
// error as well.
func parseRequest(text []byte) (r request, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return r, failf("the request is not valid JSON: %v", err)
	}
	r.id = members["id"]
	delete(members, "id")
	a := arguments{members: members, what: "member"}
	r.execute = need[string](&a, "execute")
	r.arguments = arguments{members: optional[map[string]json.RawMessage](&a, "arguments"), what: "parameter"}
	return r, a.done()
}

// arguments are named values that are taken one by one. The first thing that is
// wrong with them is their error.
type arguments struct {
	members map[string]json.RawMessage
	what    string // "parameter"
	err     error
	taken   *[]argument // notes what is taken, if it is not nil
}

// need takes a value that must be there.
func need[T any](a *arguments, name string) T {
	if _, ok := a.members[name]; !ok {
		a.fail("%s '%s' is missing", a.what, name)
	}
	return take[T](a, name, false)
}

// optional takes a value, the zero one if there is none.
func optional[T any](a *arguments, name string) (v T) { return take[T](a, name, true) }

func take[T any](a *arguments, name string, optional bool) (v T) {
	if a.taken != nil {
		*a.taken = append(*a.taken, argument{name, reflect.TypeFor[T](), optional})
	}
	raw, ok := a.members[name]
	if !ok {
		return v
	}
	delete(a.members, name)
	// To encoding/json, null is any type's zero value.
	if bytes.Equal(raw, []byte("null")) || json.Unmarshal(raw, &v) != nil {
		a.fail("%s '%s' is not %s", a.what, name, kindOf(v))
	}
	return v
}

// kindOf says what a value has to be.
func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case uint64:
		return "a number of bytes or units, zero or more"
	case map[string]json.RawMessage:
		return "an object"
	}
	return "what it has to be"
}

func (a *arguments) fail(format string, args ...any) {
	if a.err == nil {
		a.err = failf(format, args...)
	}
}

// done is the error of what was taken, or of something that nobody took. Nothing
// has been done for the request yet.
func (a *arguments) done() error {
	if a.err == nil && len(a.members) > 0 {
		var names []string
		for name := range a.members {
			names = append(names, name)
		}
		a.fail("%s '%s' is not known", a.what, slices.MinFunc(names, cmp.Compare[string]))
	}
	return a.err
}

// Messages to a client (qmp-spec, "Protocol Specification"). encoding/json puts
// them on one line, which CR and LF end.
type (
	greeting struct {
		QMP struct {
			Version      versionInfo `json:"version"`
			Capabilities []string    `json:"capabilities"`
		} `json:"QMP"`
	}
	success struct {
		Return any             `json:"return"`
		ID     json.RawMessage `json:"id,omitempty"`
	}
	failure struct {
		Error *Error          `json:"error"`
		ID    json.RawMessage `json:"id,omitempty"`
	}
	event struct {
		Event     string    `json:"event"`
		Data      any       `json:"data,omitempty"`
		Timestamp timestamp `json:"timestamp"`
	}
	timestamp struct {
		Seconds      int64 `json:"seconds"`
		Microseconds int64 `json:"microseconds"`
	}
)

// empty is the answer of a command that has none.
type empty struct{}

// encode is a message as it is sent.
func encode(message any) []byte {
	text, err := json.Marshal(message)
	if err != nil {
		// All messages are of types that can be encoded, and an id was parsed.
		text, _ = json.Marshal(failure{Error: errorOf(err)})
	}
	return append(text, '\r', '\n')
}
