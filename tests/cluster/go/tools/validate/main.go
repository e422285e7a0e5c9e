// Knative's own defaults and validation, which its webhooks apply in a cluster: reads one object as JSON and exits with 1
// and the reasons if it would be rejected. With --was FILE it is an update of that object.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"knative.dev/eventing/pkg/apis/config"
	eventing "knative.dev/eventing/pkg/apis/eventing/v1"
	"knative.dev/pkg/apis"
	duck "knative.dev/pkg/apis/duck/v1"
	serving "knative.dev/serving/pkg/apis/serving/v1"
)

// What the ConfigMap config-br-defaults says after an installation.
var defaults = config.Defaults{ClusterDefaultConfig: &config.DefaultConfig{
	DefaultBrokerClass: "MTChannelBasedBroker",
	BrokerConfig: &config.BrokerConfig{KReference: &duck.KReference{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: "knative-eventing", Name: "config-br-default-channel",
	}},
}}

type object interface {
	apis.Defaultable
	apis.Validatable
}

func read(source io.Reader) (object, error) {
	content, err := io.ReadAll(source)
	if err != nil {
		return nil, err
	}
	var about struct{ Kind string }
	if err := json.Unmarshal(content, &about); err != nil {
		return nil, err
	}
	kinds := map[string]object{"Broker": &eventing.Broker{}, "Trigger": &eventing.Trigger{}, "Service": &serving.Service{}}
	found := kinds[about.Kind]
	if found == nil {
		return nil, fmt.Errorf("kind %q is none of Knative's three", about.Kind)
	}
	return found, json.Unmarshal(content, found)
}

func run(arguments []string) error {
	ctx := config.ToContext(context.Background(), &config.Config{Defaults: &defaults})
	given, err := read(os.Stdin)
	if err != nil {
		return err
	}
	if len(arguments) == 2 && arguments[0] == "--was" {
		file, err := os.Open(arguments[1])
		if err != nil {
			return err
		}
		defer file.Close()
		was, err := read(file)
		if err != nil {
			return err
		}
		was.SetDefaults(ctx)
		ctx = apis.WithinUpdate(ctx, was)
	} else {
		ctx = apis.WithinCreate(ctx)
	}
	given.SetDefaults(ctx)
	if problem := given.Validate(ctx).Filter(apis.ErrorLevel); problem != nil {
		return problem
	}
	return json.NewEncoder(os.Stdout).Encode(given)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
