package qmp

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// errDescribed keeps a command from being carried out that is only asked for its
// arguments.
var errDescribed = errors.New("the command is only described")

// argument is one that a command takes.
type argument struct {
	name     string
	kind     reflect.Type
	optional bool
}

// schemaInfo is a SchemaInfo (qapi/introspect.json).
type schemaInfo struct {
	Name     string         `json:"name"`
	MetaType string         `json:"meta-type"`
	ArgType  string         `json:"arg-type,omitempty"`     // of a command
	RetType  string         `json:"ret-type,omitempty"`     // of a command
	JSONType string         `json:"json-type,omitempty"`    // of a builtin
	Element  string         `json:"element-type,omitempty"` // of an array
	Members  []schemaMember `json:"members,omitzero"`       // of an object
}

// schemaMember is a SchemaInfoObjectMember. One that may be left out has a default of
// null, which says no more than that.
type schemaMember struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Default *none  `json:"default,omitempty"`
}

// none is encoded as null.
type none struct{}

// MarshalJSON implements json.Marshaler.
func (none) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// querySchema describes the commands. Each tells of its arguments itself: it takes them
// from a request that is not carried out. The values of enumerations are strings here, and
// events are not described.
func (s *Server) querySchema(ctx context.Context, a *arguments) (any, error) {
	if err := a.done(); err != nil {
		return nil, err
	}
	b := &schemaBuilder{names: make(map[reflect.Type]string)}
	for _, name := range slices.Sorted(maps.Keys(s.commands)) {
		var taken []argument
		answer, _ := s.commands[name].run(s, ctx, &arguments{taken: &taken, err: errDescribed})
		info := schemaInfo{Name: name, MetaType: "command", ArgType: b.object(taken), RetType: "any"}
		if answer != nil {
			info.RetType = b.named(reflect.TypeOf(answer))
		}
		b.list = append(b.list, info)
	}
	for name, kind := range map[string]string{"str": "string", "int": "int", "bool": "boolean", "any": "value"} {
		b.list = append(b.list, schemaInfo{Name: name, MetaType: "builtin", JSONType: kind})
	}
	slices.SortStableFunc(b.list, func(x, y schemaInfo) int { return cmp.Compare(y.MetaType, x.MetaType) })
	return b.list, nil
}

// schemaBuilder gathers types. Those of clients and QEMU have numbers for names, too.
type schemaBuilder struct {
	list  []schemaInfo
	names map[reflect.Type]string
	last  int
}

func (b *schemaBuilder) number() string {
	b.last++
	return strconv.Itoa(b.last)
}

// object adds an object and returns its name.
func (b *schemaBuilder) object(members []argument) string {
	info := schemaInfo{Name: b.number(), MetaType: "object", Members: []schemaMember{}}
	for _, a := range members {
		m := schemaMember{Name: a.name, Type: b.named(a.kind)}
		if a.optional {
			m.Default = new(none)
		}
		info.Members = append(info.Members, m)
	}
	b.list = append(b.list, info)
	return info.Name
}

// named is the name of a type, which is added if it is new.
func (b *schemaBuilder) named(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "str"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint64:
		return "int"
	case reflect.Pointer:
		return b.named(t.Elem())
	case reflect.Slice, reflect.Struct:
		if b.names[t] == "" {
			b.names[t] = b.composite(t)
		}
		return b.names[t]
	}
	return "any" // a map or an interface
}

func (b *schemaBuilder) composite(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		element := b.named(t.Elem())
		info := schemaInfo{Name: "[" + element + "]", MetaType: "array", Element: element}
		if !slices.ContainsFunc(b.list, func(i schemaInfo) bool { return i.Name == info.Name }) {
			b.list = append(b.list, info)
		}
		return info.Name
	}
	var members []argument
	for _, f := range reflect.VisibleFields(t) {
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		members = append(members, argument{name, f.Type, strings.Contains(rest, "omitempty")})
	}
	return b.object(members)
}
