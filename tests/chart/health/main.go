// Evaluates the chart's health checks for Argo CD, by the Lua that Argo CD
// uses, over objects of every state: go run . CONFIGMAP OBJECTS. OBJECTS is a
// list of {state, health, object}, the operator's own status among it, that a
// test of the operator writes. Prints a line for each, and fails at the first
// difference of a check from what its state is expected to be.
package main

import (
	"fmt"
	"os"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"go.yaml.in/yaml/v3"
)

type configMap struct {
	Data map[string]string `yaml:"data"`
}

type example struct {
	State  string         `yaml:"state"`
	Health string         `yaml:"health"`
	Object map[string]any `yaml:"object"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("usage: health CONFIGMAP OBJECTS")
	}
	var checks configMap
	var examples []example
	if err := read(arguments[0], &checks); err != nil {
		return err
	}
	if err := read(arguments[1], &examples); err != nil {
		return err
	}
	used := map[string]int{}
	for _, example := range examples {
		key := fmt.Sprintf("resource.customizations.health.modelwright.dev_%v", example.Object["kind"])
		script, found := checks.Data[key]
		if !found {
			return fmt.Errorf("there is no %s", key)
		}
		status, message, err := evaluate(script, example.Object)
		if err != nil {
			return fmt.Errorf("%v, %s: %w", example.Object["kind"], example.State, err)
		}
		if status != example.Health {
			return fmt.Errorf("%v, %s: is %s (%s), expected %s", example.Object["kind"], example.State, status, message, example.Health)
		}
		if message == "" {
			return fmt.Errorf("%v, %s: is %s without a word", example.Object["kind"], example.State, status)
		}
		used[key+" "+status]++
		fmt.Printf("%v, %s: %s, %s\n", example.Object["kind"], example.State, status, message)
	}
	for _, seen := range []string{"Model Degraded", "Model Healthy", "Model Progressing", "Model Suspended", "ModelVersion Healthy",
		"ModelDeployment Degraded", "ModelDeployment Healthy", "ModelDeployment Progressing", "ModelDeployment Suspended"} {
		if used["resource.customizations.health.modelwright.dev_"+seen] == 0 {
			return fmt.Errorf("no object shows %s", seen)
		}
	}
	return nil
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// As Argo CD does: without the libraries that reach the machine, the object is
// the global `obj`, and a table with status and message comes back.
func evaluate(script string, object map[string]any) (string, string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, library := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		state.Push(state.NewFunction(library))
		state.Push(lua.LString(name))
		if err := state.PCall(1, 0, nil); err != nil {
			return "", "", err
		}
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return "", "", err
	}
	answer, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return "", "", fmt.Errorf("the check returned a %s", state.Get(-1).Type())
	}
	text := func(key string) string { return strings.TrimSpace(lua.LVAsString(answer.RawGetString(key))) }
	return text("status"), text("message"), nil
}

func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(from)
	case string:
		return lua.LString(from)
	case int:
		return lua.LNumber(from)
	case float64:
		return lua.LNumber(from)
	case []any:
		table := state.CreateTable(len(from), 0)
		for _, item := range from {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(from))
		for key, item := range from {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	panic(fmt.Sprintf("a value of the type %T", from))
}
