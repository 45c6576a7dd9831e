package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/audit"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// vexName is the file with what is stated of advisories, in the form of OpenVEX 0.2.0; the bill of materials says the
// same in its own form. A package without statements has none.
const vexName = "openvex.json"

// analyses are VEX's words in CycloneDX's.
var (
	states = map[string]cdx.ImpactAnalysisState{audit.Fixed: cdx.IASResolved, audit.NotAffected: cdx.IASNotAffected,
		audit.IsAffected: cdx.IASExploitable}
	justifications = map[string]cdx.ImpactAnalysisJustification{
		"component_not_present":                             cdx.IAJCodeNotPresent,
		audit.NotPresent:                                    cdx.IAJCodeNotPresent,
		"vulnerable_code_not_in_execute_path":               cdx.IAJCodeNotReachable,
		"vulnerable_code_cannot_be_controlled_by_adversary": cdx.IAJRequiresEnvironment,
		"inline_mitigations_already_exist":                  cdx.IAJProtectedByMitigatingControl,
	}
)

// subjects are the parts of the bill that a statement is of: the components, and below each what is linked into its
// files of the module.
func (b *billOf) subjects(c *Contents, s *audit.Statement) (components []*cdx.Component, modules []string) {
	for _, p := range c.Components {
		if len(s.Components) == 0 || slices.Contains(s.Components, p.Name) {
			components = append(components, b.parts[p.ref()])
		}
	}
	for ref, x := range b.parts {
		if s.Module != "" && x.Type == cdx.ComponentTypeLibrary && (x.Name == s.Module || x.Description == s.Module) {
			modules = append(modules, ref)
		}
	}
	slices.Sort(modules)
	return components, modules
}

// advisories are the statements in the bill's form.
func (b *billOf) advisories(c *Contents) *[]cdx.Vulnerability {
	var all []cdx.Vulnerability
	for _, s := range c.Statements {
		var affects []cdx.Affects
		components, modules := b.subjects(c, s)
		if components == nil { // of an extra that the package is without
			continue
		}
		for _, x := range components {
			affects = append(affects, cdx.Affects{Ref: x.BOMRef})
		}
		for _, ref := range modules {
			affects = append(affects, cdx.Affects{Ref: ref})
		}
		for _, id := range s.ID {
			names := strings.Fields(id)
			v := cdx.Vulnerability{ID: names[0], Source: sourceOf(names[0]), Affects: &affects,
				Analysis: &cdx.VulnerabilityAnalysis{State: states[s.Status], Detail: s.Reason,
					Justification: justifications[s.Justification]}}
			if s.Action != "" {
				v.Workaround, v.Analysis.Response = s.Action, &[]cdx.ImpactAnalysisResponse{cdx.IARWorkaroundAvailable}
			}
			var others []cdx.VulnerabilityReference
			for _, n := range names[1:] {
				others = append(others, cdx.VulnerabilityReference{ID: n, Source: sourceOf(n)})
			}
			if others != nil {
				v.References = &others
			}
			all = append(all, v)
		}
	}
	if all == nil {
		return nil
	}
	return &all
}

// sourceOf is who gives out names of a kind.
func sourceOf(name string) *cdx.Source {
	kind, _, _ := strings.Cut(name, "-")
	switch kind {
	case "GO":
		return &cdx.Source{Name: "Go vulnerability database", URL: "https://pkg.go.dev/vuln/" + name}
	case "CVE":
		return &cdx.Source{Name: "CVE", URL: "https://www.cve.org/CVERecord?id=" + name}
	case "GHSA":
		return &cdx.Source{Name: "GitHub Advisories", URL: "https://github.com/advisories/" + name}
	}
	return nil
}

// vexDocument and what is in it are OpenVEX's (https://github.com/openvex/spec, 0.2.0).
type vexDocument struct {
	Context    string         `json:"@context"`
	ID         string         `json:"@id"`
	Author     string         `json:"author"`
	Timestamp  string         `json:"timestamp"`
	Version    int            `json:"version"`
	Tooling    string         `json:"tooling"`
	Statements []vexStatement `json:"statements"`
}

type vexStatement struct {
	Vulnerability struct {
		Name    string   `json:"name"`
		Aliases []string `json:"aliases,omitempty"`
	} `json:"vulnerability"`
	Products      []vexProduct `json:"products"`
	Status        string       `json:"status"`
	StatusNotes   string       `json:"status_notes,omitempty"`
	Justification string       `json:"justification,omitempty"`
	Impact        string       `json:"impact_statement,omitempty"`
	Action        string       `json:"action_statement,omitempty"`
}

type vexProduct struct {
	ID            string       `json:"@id"`
	Subcomponents []vexProduct `json:"subcomponents,omitempty"`
}

// vex writes the statements as a document of OpenVEX; nil without any.
func (b *billOf) vex(c *Contents) ([]byte, error) {
	doc := vexDocument{Context: "https://openvex.dev/ns/v0.2.0", Author: "drydock, stack " + c.Stack,
		Timestamp: c.Released.UTC().Format(time.RFC3339), Version: 1, Tooling: "drydock " + c.Drydock}
	for _, s := range c.Statements {
		var products []vexProduct
		components, modules := b.subjects(c, s)
		if components == nil {
			continue
		}
		var below []vexProduct
		for _, ref := range modules {
			below = append(below, vexProduct{ID: b.parts[ref].PackageURL})
		}
		for _, x := range components {
			id := x.PackageURL
			if id == "" {
				id = "pkg:generic/" + x.Name + "@" + x.Version
			}
			products = append(products, vexProduct{ID: id, Subcomponents: below})
		}
		for _, id := range s.ID {
			v := vexStatement{Products: products, Status: s.Status, Justification: s.Justification, Action: s.Action}
			if names := strings.Fields(id); len(names) > 0 {
				v.Vulnerability.Name, v.Vulnerability.Aliases = names[0], names[1:]
			}
			if s.Status == audit.NotAffected {
				v.Impact = s.Reason
			} else {
				v.StatusNotes = s.Reason
			}
			doc.Statements = append(doc.Statements, v)
		}
	}
	if doc.Statements == nil {
		return nil, nil
	}
	data, err := json.Marshal(doc.Statements)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	doc.ID = "urn:drydock:vex:" + c.Stack + ":" + c.Version + ":" + hex.EncodeToString(sum[:8])
	return encode(doc)
}

// statedIn are what a bill says of advisories: state and justification, by name and the parts that it is of.
func statedIn(bill *cdx.BOM) map[string]string {
	all := map[string]string{}
	if bill.Vulnerabilities == nil {
		return all
	}
	for _, v := range *bill.Vulnerabilities {
		if v.Analysis == nil {
			continue
		}
		var refs []string
		if v.Affects != nil {
			for _, a := range *v.Affects {
				name, _, _ := strings.Cut(a.Ref, "@")
				refs = append(refs, strings.TrimPrefix(name, "pkg:golang/"))
			}
		}
		key := v.ID + " in " + strings.Join(refs, ", ")
		if len(refs) > 3 {
			key = v.ID
		}
		all[key] = strings.TrimSpace(string(v.Analysis.State) + " " + string(v.Analysis.Justification))
	}
	return all
}
