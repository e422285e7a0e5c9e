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

/** Ties this process to the one that started it. */
final class Parent {
  private static final long CLOSE_MILLIS = 15_000;
  private static final long HANGUP_MILLIS = 2_000;
  private static final CountDownLatch GONE = new CountDownLatch(1);
  private static volatile boolean asked;

  private Parent() {}

  /**
   * Ends this process when its standard input closes: the parent asks for the end that way (after a word), and the
   * kernel closes the pipe for it when it dies, whatever it dies of.
   */
  static void exitWithIt() {
    daemon("parent-watch", () -> {
      try {
        while (System.in.read() >= 0) {
          asked = true;
        }
      } catch (IOException gone) {
        // As good as closed.
      }
      if (!asked) {
        GONE.countDown();
      }
      // An orderly close that hangs must not leave an orphan.
      daemon("exit-deadline", () -> {
        try {
          Thread.sleep(CLOSE_MILLIS);
        } catch (InterruptedException e) {
          // Halt at once then.
        }
        Runtime.getRuntime().halt(1);
      });
      System.exit(0);
    });
  }

  /** Closes the nodes, in order, when this process ends; an orphan also removes data that were temporary. */
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

  /** A step of the start that may fail. */
  interface Start {
    void run() throws Exception;
  }

  /**
   * Runs the starts at the same time, since a node of a cluster starts only when it sees the others. Never returns: the
   * engine's own threads don't keep a process alive.
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
      // The hang-up signal, which a suspended orphan gets, can be faster than the end of the pipe.
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
