package block

import (
	"strings"
	"testing"
)

func TestParseErrorPolicy(t *testing.T) {
	for word, want := range map[string]ErrorPolicy{
		"": PolicyEnospace, "enospace": PolicyEnospace, "stop": PolicyStop, "ignore": PolicyIgnore, "report": PolicyReport,
	} {
		got, err := ParseErrorPolicy(word)
		if err != nil || got != want || word != "" && got.String() != word {
			t.Errorf("%q is %v, %v", word, got, err)
		}
	}
	if _, err := ParseErrorPolicy("Stop"); err == nil || !strings.Contains(err.Error(), `"Stop"`) {
		t.Errorf("the error of an unknown word is %v", err)
	}
	if p := PolicyReport + 1; p.Known() || p.Stops() {
		t.Errorf("policy %d is known", p)
	}
}
