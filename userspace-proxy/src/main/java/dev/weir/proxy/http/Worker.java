// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Pressure;
import dev.weir.proxy.observe.AccessLog;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.observe.LoopMetrics;
import dev.weir.proxy.outbound.Current;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * What the connections of one event loop work with.
 *
 * @param loop theirs
 * @param metrics of the loop
 * @param log of the process
 * @param current generation in force; read once per request
 * @param draining connections end after the response in hand
 * @param bodies what may be kept of requests' bodies
 * @param access lines about single requests
 * @param pressure on memory
 */
public record Worker(
    Loop loop,
    LoopMetrics metrics,
    Log log,
    Current current,
    AtomicBoolean draining,
    BodyAllowance bodies,
    AccessLog.Lines access,
    Pressure pressure) {}
