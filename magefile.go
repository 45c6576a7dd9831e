//go:build mage

// drydock builds the whole Docker stack as static binaries, from source, offline. The commands are the functions of
// package targets.
package main

import (
	//mage:import
	"drydock/targets"
)

// Default is what a bare mage does.
var Default = targets.All

// Aliases are short forms of commands in a namespace.
var Aliases = map[string]any{"patches": targets.Patches.List, "edit": targets.Edit.Open, "bundle": targets.Bundle.Make,
	"cache": targets.Cache.List}
