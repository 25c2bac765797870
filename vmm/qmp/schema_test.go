package qmp

import (
	"encoding/json"
	"slices"
	"testing"
)

// entity is a SchemaInfo as clients read it.
type entity struct {
	Name    string
	Meta    string `json:"meta-type"`
	Arg     string `json:"arg-type"`
	Ret     string `json:"ret-type"`
	JSON    string `json:"json-type"`
	Element string `json:"element-type"`
	Members []struct {
		Name    string
		Type    string
		Default json.RawMessage
	}
}

// Each command is in the schema with its arguments, every type that is named is there, and
// asking for it carries nothing out.
func TestSchema(t *testing.T) {
	r := newRig(t)
	defer r.close()
	answer, err := r.server.querySchema(t.Context(), &arguments{})
	if err != nil {
		t.Fatal(err)
	}
	var list []entity
	if err := json.Unmarshal(encode(answer), &list); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]entity)
	for _, e := range list {
		if _, twice := all[e.Name]; twice {
			t.Errorf("%s is there twice", e.Name)
		}
		all[e.Name] = e
	}
	for _, c := range commands() {
		e := all[c.name]
		if e.Meta != "command" || all[e.Arg].Meta != "object" || all[e.Ret].Meta == "" {
			t.Errorf("%s is %+v, its arguments %+v", c.name, e, all[e.Arg])
		}
	}
	for _, e := range list {
		for _, m := range e.Members {
			if m.Name == "" || all[m.Type].Meta == "" {
				t.Errorf("%s has a member %+v", e.Name, m)
			}
		}
		if e.Meta == "array" && all[e.Element].Meta == "" || e.Meta == "builtin" && e.JSON == "" {
			t.Errorf("%s is %+v", e.Name, e)
		}
	}
	members := func(command string) (text []string) {
		for _, m := range all[all[command].Arg].Members {
			name := m.Name + " " + m.Type
			if string(m.Default) == "null" {
				name = "*" + name
			}
			text = append(text, name)
		}
		return text
	}
	for command, want := range map[string][]string{
		"stop":                   nil,
		"balloon":                {"value int"},
		"blockdev-change-medium": {"*device str", "*id str", "filename str", "*force bool", "*format str", "*read-only-mode str"},
		"dump-guest-memory":      {"paging bool", "protocol str", "*detach bool", "*format str"},
	} {
		if got := members(command); !slices.Equal(got, want) {
			t.Errorf("%s takes %q, want %q", command, got, want)
		}
	}
	keys := all[all[all["send-key"].Arg].Members[0].Type]
	if keys.Meta != "array" || len(all[keys.Element].Members) != 2 {
		t.Errorf("the keys of send-key are %+v of %+v", keys, all[keys.Element])
	}
	if asked := r.machine.taken(); asked != "" {
		t.Errorf("the machine was asked for %s", asked)
	}
}
