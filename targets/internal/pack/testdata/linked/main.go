// A program that is linked with two modules.
package main

import (
	"fmt"

	version "github.com/hashicorp/go-version"
	"golang.org/x/mod/semver"
)

func main() { fmt.Println(semver.IsValid("v1"), version.Must(version.NewVersion("1"))) }
