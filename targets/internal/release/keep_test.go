package release

import "testing"

func TestKEEPIsANumberOfPackages(t *testing.T) {
	for value, want := range map[string]int{"": keptPackages, "0": 0, "12": 12, "-1": -1, "all": -1, "1.5": -1} {
		t.Setenv("KEEP", value)
		got, err := EnvKeep()
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("KEEP=%q: got %d and %v, want %d, or an error for -1", value, got, err, want)
		}
	}
}
