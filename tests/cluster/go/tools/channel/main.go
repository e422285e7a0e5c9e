// Knative's in-memory channel with one subscription, which is read as JSON from a file. The handlers are those of its
// dispatcher; that program itself is not used because its port can't be chosen.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"
	duck "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/channel"
	"knative.dev/eventing/pkg/channel/fanout"
	"knative.dev/eventing/pkg/channel/multichannelfanout"
	"knative.dev/eventing/pkg/eventingtls"
	"knative.dev/eventing/pkg/inmemorychannel"
	"knative.dev/eventing/pkg/kncloudevents"
)

// Both are those of the dispatcher.
const (
	timeout     = 15 * time.Minute
	connections = 1000
)

func run(ctx context.Context, name string, path string, port int, async bool) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var subscriber duck.SubscriberSpec
	if err := json.Unmarshal(content, &subscriber); err != nil {
		return err
	}
	subscription, err := fanout.SubscriberSpecToFanoutConfig(subscriber)
	if err != nil {
		return err
	}
	logger, err := zap.NewProduction()
	if err != nil {
		return err
	}
	kncloudevents.ConfigureConnectionArgs(&kncloudevents.ConnectionArgs{
		MaxIdleConns: connections, MaxIdleConnsPerHost: connections,
	})
	handler, err := fanout.NewFanoutEventHandler(
		logger,
		fanout.Config{AsyncHandler: async, Subscriptions: []fanout.Subscription{*subscription}},
		nil, nil, nil,
		kncloudevents.NewDispatcher(eventingtls.ClientConfig{}, nil),
		nil, nil,
		channel.ResolveChannelFromPath(channel.ParseChannelFromPath),
	)
	if err != nil {
		return err
	}
	channels := multichannelfanout.NewEventHandler(ctx, logger)
	channels.SetChannelHandler(name, handler)
	return inmemorychannel.NewEventDispatcher(&inmemorychannel.InMemoryEventDispatcherArgs{
		Port: port, ReadTimeout: timeout, WriteTimeout: timeout, Handler: channels, Logger: logger,
	}).Start(ctx)
}

func main() {
	name := flag.String("channel", "", "namespace/name, the path of its address")
	path := flag.String("subscriber", "", "file with the subscriber, as in a channel's spec")
	port := flag.Int("port", 8080, "port")
	async := flag.Bool("async", false, "answer before the event is delivered")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *name, *path, *port, *async); err != nil {
		log.Fatal(err)
	}
}
