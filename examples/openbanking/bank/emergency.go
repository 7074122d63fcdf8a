package bank

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// declareEmergency writes what the bank's incident tool would beside its policy: that Tom
// of support may break the glass for one account, for the next four hours, under a ticket.
func declareEmergency(dir string, now time.Time) error {
	type object = map[string]any
	content, err := json.MarshalIndent(object{"access": object{"break_glass": object{StaffName: object{"tom": []object{{
		"ticket":       "INC-4711",
		"from":         instant(now.Add(-time.Hour)),
		"until":        instant(now.Add(4 * time.Hour)),
		"permissions":  []string{"backoffice_read"},
		"requirements": []string{"not_owner"},
		"objects":      []string{"account:40500"},
	}}}}}}, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "policy", "emergency.json"), content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("emergency: %w", err)
	}
	return nil
}

func instant(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05Z") }
