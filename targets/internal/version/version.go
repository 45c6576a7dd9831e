// Package version names drydock's own release.
package version

// Drydock is what "mage version" prints, and what manifest and bill of materials name as the tool. CHANGELOG.md has it.
const Drydock = "0.3.0"
