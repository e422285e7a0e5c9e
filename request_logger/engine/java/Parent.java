import java.io.Closeable;
import java.io.IOException;
import java.util.List;

/** Ties this process to the one that started it. */
final class Parent {
  private static final long CLOSE_MILLIS = 15_000;

  private Parent() {}

  /**
   * Ends this process when its standard input closes: the parent asks for the end that way, and the kernel closes the
   * pipe for it when it dies, whatever it dies of.
   */
  static void exitWithIt() {
    daemon("parent-watch", () -> {
      try {
        while (System.in.read() >= 0) {}
      } catch (IOException gone) {
        // As good as closed.
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

  /** Closes the nodes, in order, when this process ends. */
  static void closeAtExit(List<? extends Closeable> nodes) {
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      for (Closeable node : nodes) {
        try {
          node.close();
        } catch (IOException e) {
          System.err.println("closing a node: " + e);
        }
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

  private static void daemon(String name, Runnable work) {
    Thread thread = new Thread(work, name);
    thread.setDaemon(true);
    thread.start();
  }
}
