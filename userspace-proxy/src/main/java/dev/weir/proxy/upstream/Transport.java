// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.proxy.loop.Loop;
import io.netty.channel.Channel;
import java.util.function.Consumer;

/** How one backend is reached that is not dialled by itself. */
public interface Transport {

  /**
   * Opens a connection to the backend. One of the two is called, on the loop's thread.
   *
   * @param loop on whose thread this is called
   * @param caller in whose name
   * @param ready given a channel on which nothing was read yet
   * @param failed told why there is none; nothing was sent then
   */
  void open(Loop loop, Caller caller, Consumer<Channel> ready, Consumer<Throwable> failed);

  /** For people: by what it is reached. */
  @Override
  String toString();
}
