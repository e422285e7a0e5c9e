import java.io.Closeable;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Ends this process together with the one that started it. */
final class Parent {
  private static final long CLOSE_MILLIS = 15_000;
  private static final long HANGUP_MILLIS = 2_000;
  private static final CountDownLatch GONE = new CountDownLatch(1);
  private static volatile boolean asked;

  private Parent() {}

  /**
   * Ends this process when its standard input closes: the parent requests a shutdown that way (after the word "stop"), and
   * the kernel closes the pipe when the parent dies for any reason.
   */
  static void exitWithIt() {
    daemon("parent-watch", () -> {
      try {
        while (System.in.read() >= 0) {
          asked = true;
        }
      } catch (IOException gone) {
        // Equivalent to a closed pipe.
      }
      if (!asked) {
        GONE.countDown();
      }
      // A shutdown that hangs must not leave an orphan.
      daemon("exit-deadline", () -> {
        try {
          Thread.sleep(CLOSE_MILLIS);
        } catch (InterruptedException e) {
          // Halt immediately.
        }
        Runtime.getRuntime().halt(1);
      });
      System.exit(0);
    });
  }

  /** Closes the nodes in order when this process ends; an orphan also removes temporary data. */
  static void closeAtExit(List<? extends Closeable> nodes) {
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      for (Closeable node : nodes) {
        try {
          node.close();
        } catch (IOException e) {
          System.err.println("closing a node: " + e);
        }
      }
      String temporary = System.getProperty("engine.temporary");
      if (temporary != null && parentIsGone()) {
        remove(Path.of(temporary));
      }
    }));
  }

  /** A start step that may fail. */
  interface Start {
    void run() throws Exception;
  }

  /**
   * Starts all nodes concurrently, since a cluster's node starts only once it sees the others. Never returns: the engine's
   * own threads don't keep the process alive.
   */
  static void startAll(List<Start> starts) throws InterruptedException {
    for (Start start : starts) {
      new Thread(() -> {
        try {
          start.run();
        } catch (Throwable t) {
          t.printStackTrace();
          System.exit(1);
        }
      }, "node-start").start();
    }
    Thread.currentThread().join();
  }

  private static boolean parentIsGone() {
    try {
      // SIGHUP, which a suspended orphan receives, can arrive before the end of the pipe.
      return !asked && GONE.await(HANGUP_MILLIS, TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      return false;
    }
  }

  private static void remove(Path folder) {
    try (Stream<Path> paths = Files.walk(folder)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    } catch (IOException | UncheckedIOException e) {
      System.err.println("removing " + folder + ": " + e);
    }
  }

  private static void daemon(String name, Runnable work) {
    Thread thread = new Thread(work, name);
    thread.setDaemon(true);
    thread.start();
  }
}
