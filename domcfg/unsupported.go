package domcfg

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A rule says something about all elements, or attributes, of one kind.
type rule struct {
	path   string                    // steps from below the root, "*" for any; "@name" at the end for an attribute
	value  func(string) bool         // nil for any value (attribute) or text (element)
	when   func(*Domain, *node) bool // nil for always; the node is the element
	newer  bool                      // only what no field has, being newer than the document
	reason string
}

// Unsupported lists what the domain asks for that this version of govmm cannot honour, in the
// order of the file. It works for any domain, also one completed by SetDefaults: devices that were
// added there are named at the device that called for them.
//
// An element that is refused as a whole is named once, without what is in it.
func Unsupported(d *Domain) []Refusal {
	var found []Refusal
	rules := newRuleSet(refusals())
	rules.walk(d, d.tree(), func(n *node, attr, what, reason string) {
		r := Refusal{Pos: n.pos(), Path: n.path(), What: what, Reason: reason}
		if attr != "" {
			r.Pos = n.attrPos(attr)
		}
		found = append(found, r)
	})
	slices.SortStableFunc(found, func(a, b Refusal) int { return a.Pos.compare(b.Pos) })
	return found
}

// notices returns warnings of what is part of the document, valid, and without effect here.
func notices(d *Domain) []Warning {
	found := &reports{}
	rules := newRuleSet(harmless())
	rules.walk(d, d.tree(), func(n *node, attr, what, reason string) {
		pos := n.pos()
		if attr != "" {
			pos = n.attrPos(attr)
		}
		if what != "" {
			reason = what + ": " + reason
		}
		found.warnf(pos, n.path(), "%s", reason)
	})
	return found.warnings
}

// A ruleSet finds the rules for an element or attribute.
type ruleSet struct {
	byPath map[string][]rule
	wild   []rule
}

func newRuleSet(rules []rule) ruleSet {
	s := ruleSet{byPath: make(map[string][]rule, len(rules))}
	for _, r := range rules {
		if strings.Contains(r.path, "*") {
			s.wild = append(s.wild, r)
		} else {
			s.byPath[r.path] = append(s.byPath[r.path], r)
		}
	}
	return s
}

// find returns the first rule that holds: those with a full path come before those with a "*".
func (s ruleSet) find(kind string, holds func(rule) bool) *rule {
	for _, r := range s.byPath[kind] {
		if holds(r) {
			return &r
		}
	}
	for _, r := range s.wild {
		if matchPath(r.path, kind) && holds(r) {
			return &r
		}
	}
	return nil
}

// walk goes through the tree and calls report for every element and attribute that a rule is
// about. It does not go into an element that was itself reported.
func (s ruleSet) walk(d *Domain, root *node, report func(n *node, attr, what, reason string)) {
	var visit func(n *node, kind string)
	visit = func(n *node, kind string) {
		r := s.find(kind, func(r rule) bool {
			return (!r.newer || n.kept) && (r.value == nil || r.value(strings.TrimSpace(n.text))) && (r.when == nil || r.when(d, n))
		})
		if r != nil {
			what := ""
			if r.value != nil {
				what = strconv.Quote(clip(n.text))
			}
			report(n, "", what, r.reason)
			return
		}
		for _, a := range n.attrs {
			r := s.find(kind+"@"+a.name, func(r rule) bool {
				return (!r.newer || a.kept) && (r.value == nil || r.value(a.value)) && (r.when == nil || r.when(d, n))
			})
			if r != nil {
				report(n, a.name, a.name+"="+strconv.Quote(clip(a.value)), r.reason)
			}
		}
		for _, c := range n.children {
			step := c.name
			if kind != "" {
				step = kind + "/" + c.name
			}
			visit(c, step)
		}
	}
	visit(root, "")
}

// matchPath reports whether a path fits a pattern in which "*" stands for any one step, or for any
// attribute.
func matchPath(pattern, path string) bool {
	pattern, wantAttr, hasAttr := strings.Cut(pattern, "@")
	path, attr, isAttr := strings.Cut(path, "@")
	if hasAttr != isAttr || hasAttr && wantAttr != "*" && wantAttr != attr {
		return false
	}
	for {
		step, restOfPattern, more := strings.Cut(pattern, "/")
		name, restOfPath, moreSteps := strings.Cut(path, "/")
		if step != "*" && step != name || more != moreSteps {
			return false
		}
		if !more {
			return true
		}
		pattern, path = restOfPattern, restOfPath
	}
}

// is makes the condition that a value is one of those.
func is(values ...string) func(string) bool {
	return func(v string) bool { return slices.Contains(values, v) }
}

// not makes the condition that a value is none of those.
func not(values ...string) func(string) bool {
	return func(v string) bool { return !slices.Contains(values, v) }
}

// attrIs makes the condition that an attribute has one of those values; an absent one is empty.
func attrIs(name string, values ...string) func(*Domain, *node) bool {
	return func(_ *Domain, n *node) bool { return slices.Contains(values, n.value(name)) }
}

// parentAttrIs is attrIs for the element around.
func parentAttrIs(name string, values ...string) func(*Domain, *node) bool {
	return func(_ *Domain, n *node) bool { return slices.Contains(values, n.parent.value(name)) }
}

// itemClass is what happens to an element or attribute that no field takes.
type itemClass int

const (
	unknownItem  itemClass = iota // no version of the format that we know has it
	harmlessItem                  // newer than the document, without effect on the machine
	refusedItem                   // newer than the document, refused by Unsupported
)

// classify looks up what no field takes. The node is the element, or the attribute's element.
func (c *coder) classify(kind, value string, n *node) (itemClass, string) {
	if c.newer == nil {
		c.newer = new([2]ruleSet{newRuleSet(refusals()), newRuleSet(newerHarmless())})
	}
	// The conditions on the domain as a whole are all about elements that have fields, and so are
	// never asked here.
	fits := func(r rule) bool {
		return (r.value == nil || r.value(value)) && (r.when == nil || r.when(nil, n))
	}
	if r := c.newer[0].find(kind, fits); r != nil {
		return refusedItem, r.reason
	}
	if r := c.newer[1].find(kind, fits); r != nil {
		return harmlessItem, cmp.Or(r.reason, "it has no effect on the machine")
	}
	return unknownItem, ""
}
