# Notifications in Simplified Chinese. The comments in en.ftl say what each message is.

## Quantities

unit-days = { $n } 天
unit-hours = { $n } 小时
unit-minutes = { $n } 分钟
unit-seconds = { $n } 秒
units = { $large } { $small }
time-in = { $time }后
time-ago = { $time }前
date = { $year }年{ $month }月{ $day }日
date-and-time = { $date } { $time }
date-never = 永不
span-times = { $from }–{ $to }
span-dates = { $from } 至 { $to }
percent = { $n }%
or-more = { $percent } 以上
tokens = { $n } token
name-of-target = { $name } ({ $target })
list-comma = 、
list-more = { $names } 及另外 { $more } 个
month-1 = 1
month-2 = 2
month-3 = 3
month-4 = 4
month-5 = 5
month-6 = 6
month-7 = 7
month-8 = 8
month-9 = 9
month-10 = 10
month-11 = 11
month-12 = 12

## The frame of a message

subject = { $target }：{ $what }
subject-counts = { $new ->
    [0] { $resolved ->
        [0] { $firing } 条告警仍在触发
       *[other] { $resolved } 条已恢复，{ $firing } 条触发中
    }
   *[other] { $resolved ->
        [0] { $new } 条新告警，{ $firing } 条触发中
       *[other] { $new } 条新告警，{ $resolved } 条已恢复，{ $firing } 条触发中
    }
}
subject-resolved = { $count } 条已恢复：{ $names }
subject-still = 仍在持续：{ $what }
subject-none = 没有触发中的告警
several-targets = 多个目标
heading-new = 新告警
heading-resolved = 已恢复
heading-still = 仍在触发
still = 还有 { $count } 条告警仍在触发。
left-out-firing = ……另有 { $count } 条触发中的告警。
left-out-resolved = ……另有 { $count } 条已恢复的告警。
follow = 下一条消息中还有 { $count } 条告警。
since = 始于 { $date }
ended = 结束于 { $date }
what-to-do = 处理办法
all-alerts = 全部告警
runbook = 处理手册
times-are = 时间按 { $zone } 时区显示。
sent-by = 由 proxymeter 发送给接收者“{ $receiver }”。
severity-critical = 严重
severity-warning = 警告
severity-info = 提示
details-refused = 服务器拒绝了带有详细信息的消息，因此已将其省略。触发中的告警见 proxymeter 自己的页面和 /api/v1/alerts。

## Why an alert has ended

end-renewed = 已续期
end-topped-up = 限额已更改
end-reset = 用量已重置
end-recovered = 已恢复正常
ended-deleted = { $name } 已不存在。
ended-disabled = { $name } 已被停用。
ended-clock-set = 时钟被调回，{ $name } 的时间尚未到。
ended-rule-removed = 已没有规则监视 { $name }。
ended-target-replaced = { $name } 属于该目标之前的系统，现在的目标已是另一个系统。

## Causes

cause-with-detail = { $cause }（{ $detail }）
cause-until = { $cause }，直到 { $date }
cause-auth = 用户名、密码或令牌不被接受
cause-banned = proxymeter 的地址已被封锁
cause-client-error = 请求被拒绝
cause-connect = 无法建立连接
cause-decode = 应答的格式不符合预期
cause-forbidden = 该账号无权读取
cause-interrupted = 应答未结束连接就已中断
cause-not-found = 该地址上什么也没有
cause-not-json = 应答是一个网页：该地址上可能是别的服务
cause-rate-limited = 对方要求稍后再试
cause-redirect = 对方重定向到另一个地址
cause-server-error = 对方报告自身出错
cause-timeout = 对方没有及时应答
cause-tls = 证书或加密方式不可用
cause-too-large = 应答过大
cause-quota-exceeded = 配额已用完
cause-cloudflare-challenge = 被提供商的防火墙拦截
cause-model-not-supported = 无权使用该模型
cause-login-expired-or-revoked = 登录已失效
cause-payment-required = 提供商要求付费
cause-upstream-errors = 提供商出错
cause-cooling-down = 出错后正在冷却
cause-its-quota-is-used-up = 配额已用完
cause-the-provider-s-firewall-stops-it = 被提供商的防火墙拦截
cause-it-may-not-use-the-model = 无权使用该模型
cause-its-login-has-ended = 登录已失效
cause-the-provider-refuses-it = 被提供商拒绝
cause-the-provider-asks-for-payment = 提供商要求付费
cause-the-provider-does-not-find-what-it-asks-for = 提供商找不到所请求的内容
cause-the-provider-fails = 提供商出错
cause-it-cools-down = 出错后正在冷却
cause-the-server-says-that-it-cannot-be-used = 服务器表示它不可用
cause-unknown = 原因未知
cause-connecting = 面板正在尝试连接
cause-error = 面板报告错误
cause-limited = 流量已用完
cause-expired = 已到期
cause-disabled = 已停用
cause-its-data-limit-is-reached = 流量已用完
cause-its-probes-fail = 探测失败
cause-the-panel-fails-on-it = 面板处理它时出错
cause-it-is-larger-than-1-mib = 超过 1 MiB
cause-it-is-not-an-object = 不是 JSON 对象
cause-it-has-no-name = 没有名称
cause-records-were-lost-and-another-reader-takes-some = 有记录丢失，另有程序取走了一部分
cause-records-were-lost = 有记录丢失
cause-another-reader-takes-records = 另有程序取走了记录
cause-not-writable = 不可写
cause-the-file-cannot-be-used = 文件不可用
cause-a-file-that-it-names-has-changed-and-cannot-be-used = 其中引用的一个文件有变化，且不可用

## Users

ProxymeterUserExpiry = 用户即将到期或已到期。
    .head = { $count ->
        [1] 用户 { $names } 将在 { $step }内到期
       *[other] { $count } 名用户将在 { $step }内到期（{ $names }）
    }
    .head-last = { $count ->
        [1] 用户 { $names } 已到期
       *[other] { $count } 名用户已到期（{ $names }）
    }
    .firing = 用户 { $name } 将于 { $when }到期（{ $date }）。
    .last = 用户 { $name } 已于 { $when }到期（{ $date }）。
    .over = { $holds ->
        [nothing] 用户 { $name } 不再有到期时间（{ $why }）。
       *[known] 用户 { $name } 的有效期至 { $day }（{ $why }）。
    }
    .action = 在面板中续期，或询问该用户是否继续使用。如果用户不再续用，则无需处理。

ProxymeterUserQuota = 用户的流量限额即将用完或已用完。
    .head = { $count ->
        [1] 用户 { $names } 已用 { $step } 的流量限额
       *[other] { $count } 名用户已用 { $step } 的流量限额（{ $names }）
    }
    .head-last = { $count ->
        [1] 用户 { $names } 已用完流量限额
       *[other] { $count } 名用户已用完流量限额（{ $names }）
    }
    .firing = { $holds ->
        [resets] 用户 { $name } 已用 { $percent } 的流量限额（{ $used } / { $limit }），{ $day }重置。
       *[known] 用户 { $name } 已用 { $percent } 的流量限额（{ $used } / { $limit }）。
    }
    .last = { $holds ->
        [resets] 用户 { $name } 已用完 { $limit } 的流量限额，{ $day }重置。
       *[known] 用户 { $name } 已用完 { $limit } 的流量限额。
    }
    .over = { $holds ->
        [nothing] 用户 { $name } 不再有流量限额（{ $why }）。
       *[known] 用户 { $name } 已用 { $percent } 的流量限额（{ $used } / { $limit }；{ $why }）。
    }
    .action = 在面板中提高限额或重置用量，或等待自动重置。否则用量达到 100% 时该用户会被断开。

ProxymeterQuotaForecast = 按当前速度，用户的流量限额很快会用完。
    .head = { $count ->
        [1] 用户 { $names } 将在 { $step }内用完流量限额
       *[other] { $count } 名用户将在 { $step }内用完流量限额（{ $names }）
    }
    .firing = 按最近三天的速度（每天 { $daily }），用户 { $name } 将于 { $when }用完 { $limit } 的流量限额（{ $day }）。
    .over = { $holds ->
        [nothing] 用户 { $name } 不再有流量限额（{ $why }）。
       *[known] 用户 { $name } 不会再那么快用完流量限额：已用 { $used } / { $limit }（{ $why }）。
    }
    .action = 通知该用户，或在面板中提高限额。如果本来就打算到时断开该用户，则无需处理。

ProxymeterUserStatus = 用户无法连接。
    .head = { $count ->
        [1] 用户 { $names } 无法连接
       *[other] { $count } 名用户无法连接（{ $names }）
    }
    .firing = 用户 { $name } 无法连接：{ $cause }。
    .over = 用户 { $name } 可以重新连接，此前 { $lasted }无法连接（{ $times }）。
    .action = 如果是有意为之，则无需处理。否则请在面板中续期、提高限额或启用该用户。

ProxymeterUserInactive = 用户长时间未在线。
    .head = { $count ->
        [1] 用户 { $names } 已有 { $step }未在线
       *[other] { $count } 名用户已有 { $step }未在线（{ $names }）
    }
    .firing = { $holds ->
        [never] 用户 { $name } 于 { $when }创建（{ $date }），从未在线。
       *[known] 用户 { $name } 最后一次在线是在 { $when }（{ $date }）。
    }
    .over = { $holds ->
        [nothing] 用户 { $name } 已不是活跃用户。
       *[known] 用户 { $name } 于 { $when }再次在线（{ $date }）。
    }
    .action = 询问是否仍需要该账户。如不需要，请在面板中禁用或删除。

ProxymeterUserDevices = 用户同时使用的地址超过允许的数量。
    .head = { $count ->
        [1] 用户 { $names } 使用的地址超过允许的数量
       *[other] { $count } 名用户使用的地址超过允许的数量（{ $names }）
    }
    .firing = 用户 { $name } 同时使用 { $count } 个地址，允许 { $limit } 个。
    .over = { $holds ->
        [nothing] 用户 { $name } 已不是活跃用户，或不再限制地址数量。
       *[known] 用户 { $name } 使用 { $count } 个地址，允许 { $limit } 个。
    }
    .action = 询问该账户是否被共用。如果确实需要更多设备，请提高限制。

ProxymeterUserTraffic = 用户在短时间内使用了大量流量。
    .head = { $count ->
        [1] 用户 { $names } 流量过大
       *[other] { $count } 名用户流量过大（{ $names }）
    }
    .firing = 用户 { $name } 在 { $time }内使用了 { $used } 流量，上限为 { $limit }。
    .over = 用户 { $name } 的流量已回落，此前 { $lasted }过大（{ $times }）。
    .action = 询问该账户是否被共用，或设备是否被感染。必要时在面板中限制或禁用该用户。

## Admins

ProxymeterAdminQuota = 管理员的流量限额即将用完或已用完。
    .head = { $count ->
        [1] 管理员 { $names } 已用 { $step } 的流量限额
       *[other] { $count } 名管理员已用 { $step } 的流量限额（{ $names }）
    }
    .head-last = { $count ->
        [1] 管理员 { $names } 已用完流量限额
       *[other] { $count } 名管理员已用完流量限额（{ $names }）
    }
    .firing = 管理员 { $name } 的用户已用 { $percent } 的流量限额（{ $used } / { $limit }）。
    .last = 管理员 { $name } 的用户已用完 { $limit } 的流量限额。
    .over = { $holds ->
        [nothing] 管理员 { $name } 不再有流量限额（{ $why }）。
       *[known] 管理员 { $name } 的用户已用 { $percent } 的流量限额（{ $used } / { $limit }；{ $why }）。
    }
    .action = 提高限额，或在下一周期付款后在面板中重置该管理员的用量。

## Inbounds and outbounds

ProxymeterInboundExpiry = 入站即将到期或已到期。
    .head = { $count ->
        [1] 入站 { $names } 将在 { $step }内到期
       *[other] { $count } 个入站将在 { $step }内到期（{ $names }）
    }
    .head-last = { $count ->
        [1] 入站 { $names } 已到期
       *[other] { $count } 个入站已到期（{ $names }）
    }
    .firing = 入站 { $name } 将于 { $when }到期（{ $date }）。
    .last = 入站 { $name } 已于 { $when }到期（{ $date }），其所有客户端已断开。
    .over = { $holds ->
        [nothing] 入站 { $name } 不再有到期时间（{ $why }）。
       *[known] 入站 { $name } 的有效期至 { $day }（{ $why }）。
    }
    .action = 在面板中设置更晚的到期时间。到期后该入站的所有客户端都会断开。

ProxymeterInboundQuota = 入站的流量限额即将用完或已用完。
    .head = { $count ->
        [1] 入站 { $names } 已用 { $step } 的流量限额
       *[other] { $count } 个入站已用 { $step } 的流量限额（{ $names }）
    }
    .head-last = { $count ->
        [1] 入站 { $names } 已用完流量限额
       *[other] { $count } 个入站已用完流量限额（{ $names }）
    }
    .firing = 入站 { $name } 已用 { $percent } 的流量限额（{ $used } / { $limit }）。
    .last = 入站 { $name } 已用完 { $limit } 的流量限额，其所有客户端已断开。
    .over = { $holds ->
        [nothing] 入站 { $name } 不再有流量限额（{ $why }）。
       *[known] 入站 { $name } 已用 { $percent } 的流量限额（{ $used } / { $limit }；{ $why }）。
    }
    .action = 在面板中提高限额或重置用量。用量达到 100% 时该入站的所有客户端都会断开。

ProxymeterOutboundDown = 出站不可用。
    .head = { $count ->
        [1] 出站 { $names } 不可用
       *[other] { $count } 个出站不可用（{ $names }）
    }
    .firing = 出站 { $name } 不可用：{ $cause }。
    .over = 出站 { $name } 已恢复，此前 { $lasted }不可用（{ $times }）。
    .action = 检查出站后面的服务器是否在运行，以及能否从面板所在主机访问。

## Targets

ProxymeterTargetDown = 目标没有正常应答。
    .head = { $count ->
        [1] 无法读取 { $names }
       *[other] 无法读取 { $count } 个目标（{ $names }）
    }
    .firing = 无法读取 { $name }：{ $cause }。
    .over = { $name } 已恢复应答，此前 { $lasted }无法读取（{ $times }）。
    .action = 从 proxymeter 所在机器打开面板的地址，检查面板是否在运行。在它应答之前，无法得知它的其他情况。

ProxymeterLoginRefused = 目标拒绝登录。
    .head = { $count ->
        [1] { $names } 拒绝登录
       *[other] { $count } 个目标拒绝登录（{ $names }）
    }
    .firing = { $name } 拒绝登录：{ $cause }。为避免账号被锁定，只会偶尔重试。
    .over = { $name } 重新接受登录，此前 { $lasted }拒绝登录（{ $times }）。
    .action = 检查配置中的用户名、密码或令牌，然后重新加载配置。

ProxymeterPartStale = 目标的一部分已有一段时间未能读取。
    .head = { $count ->
        [1] “{ $names }”部分未能读取
       *[other] { $count } 个部分未能读取（{ $names }）
    }
    .firing = “{ $name }”部分上一次读取是在 { $time }前。
    .over = “{ $name }”部分已恢复读取，此前 { $lasted }未能读取（{ $times }）。
    .action = 原因见状态页。如果面板太慢，请延长超时时间或减轻面板的负载。

ProxymeterRightLost = 账号不再有权读取目标的一部分。
    .head = { $count ->
        [1] 账号不再有权读取“{ $names }”部分
       *[other] 账号不再有权读取 { $count } 个部分（{ $names }）
    }
    .firing = 账号不再有权读取“{ $name }”部分，其数值不再更新。
    .over = 账号可以重新读取“{ $name }”部分，此前 { $lasted }无权读取（{ $times }）。
    .action = 在面板中恢复该账号的权限，或在这条规则中排除该部分。

ProxymeterRowsUnreadable = 用户列表的一部分无法读取。
    .head = { $count ->
        [1] { $names } 的部分用户无法读取
       *[other] { $count } 个目标的部分用户无法读取（{ $names }）
    }
    .firing = { $count ->
        [1] { $name } 有 1 名用户无法读取：{ $cause }。
       *[other] { $name } 有 { $count } 名用户无法读取，第一名的原因：{ $cause }。
    }
    .over = { $name } 的所有用户都可以读取了，此前 { $lasted }有用户无法读取（{ $times }）。
    .action = 日志中记有是哪些行。指标和告警中缺少这些用户；请在面板中修复或删除他们。

ProxymeterAccountingStalled = 目标或节点的代理流量不再计入。
    .head = { $count ->
        [1] { $names } 的流量没有计入
       *[other] { $count } 处的流量没有计入（{ $names }）
    }
    .firing = { $kind ->
        [node] 节点 { $name } 已有 { $time }没有计入流量，尽管有用户在线。
       *[target] { $name } 已有 { $time }没有计入流量，尽管有用户在线。
    }
    .over = { $kind ->
        [node] 节点 { $name } 的流量恢复计入，此前 { $lasted }没有计入（{ $times }）。
       *[target] { $name } 的流量恢复计入，此前 { $lasted }没有计入（{ $times }）。
    }
    .action = 以用户身份试一次连接。如果能用，请重启核心或节点：面板丢失了计数器。

ProxymeterCertificateExpiry = 证书即将到期。
    .head = { $count ->
        [1] { $names } 的证书将在 { $step }内到期
       *[other] { $count } 个证书将在 { $step }内到期（{ $names }）
    }
    .head-last = { $count ->
        [1] { $names } 的证书已到期
       *[other] { $count } 个证书已到期（{ $names }）
    }
    .firing = { $name } 的证书将于 { $when }到期（{ $date }）。
    .last = { $name } 的证书已于 { $when }到期（{ $date }）。
    .over = { $name } 的证书有效期至 { $day }（{ $why }）。
    .action = 更新证书，并重启面板或它前面的反向代理。

ProxymeterHostCpu = 处理器繁忙。
    .head = { $count ->
        [1] { $names } 的处理器使用率达到 { $step }
       *[other] { $count } 台主机的处理器使用率达到 { $step }（{ $names }）
    }
    .firing = { $name } 的处理器使用率为 { $percent }。
    .over = { $name } 的处理器使用率为 { $percent }，此前 { $lasted }过高。
    .action = 用 top 查看占用处理器的进程。如果是代理核心，请把用户移到其他节点。

ProxymeterHostMemory = 内存即将用满。
    .head = { $count ->
        [1] { $names } 的内存使用率达到 { $step }
       *[other] { $count } 台主机的内存使用率达到 { $step }（{ $names }）
    }
    .firing = { $name } 的内存使用率为 { $percent }。
    .over = { $name } 的内存使用率为 { $percent }，此前 { $lasted }过高。
    .action = 用 free 和 ps 查看占用内存的进程，重启它，或给主机增加内存。

ProxymeterHostDisk = 磁盘即将用满。
    .head = { $count ->
        [1] { $names } 的磁盘使用率达到 { $step }
       *[other] { $count } 台主机的磁盘使用率达到 { $step }（{ $names }）
    }
    .firing = { $name } 的磁盘使用率为 { $percent }。
    .over = { $name } 的磁盘使用率为 { $percent }，此前 { $lasted }过高。
    .action = 删除或轮转日志、容器日志和旧备份。磁盘写满会使面板的数据库停止工作。

## Nodes

ProxymeterNodeDown = 节点离线。
    .head = { $count ->
        [1] 节点 { $names } 离线
       *[other] { $count } 个节点离线（{ $names }）
    }
    .firing = 节点 { $name } 离线：{ $cause }。
    .over = 节点 { $name } 已重新连接，此前 { $lasted }离线（{ $times }）。
    .action = 检查节点的服务器及其服务是否在运行，然后在面板中重新连接该节点。

ProxymeterNodeCpu = 节点的处理器繁忙。
    .head = { $count ->
        [1] 节点 { $names } 的处理器使用率达到 { $step }
       *[other] { $count } 个节点的处理器使用率达到 { $step }（{ $names }）
    }
    .firing = 节点 { $name } 的处理器使用率为 { $percent }。
    .over = 节点 { $name } 的处理器使用率为 { $percent }，此前 { $lasted }过高。
    .action = 把用户移到其他节点，或给该节点增加 CPU 核数。

ProxymeterNodeMemory = 节点的内存即将用满。
    .head = { $count ->
        [1] 节点 { $names } 的内存使用率达到 { $step }
       *[other] { $count } 个节点的内存使用率达到 { $step }（{ $names }）
    }
    .firing = 节点 { $name } 的内存使用率为 { $percent }。
    .over = 节点 { $name } 的内存使用率为 { $percent }，此前 { $lasted }过高。
    .action = 用 free 和 ps 查看占用内存的进程，重启它，或给该节点增加内存。

ProxymeterNodeTraffic = 节点的每月流量即将用完或已用完。
    .head = { $count ->
        [1] 节点 { $names } 已用 { $step } 的每月流量
       *[other] { $count } 个节点已用 { $step } 的每月流量（{ $names }）
    }
    .head-last = { $count ->
        [1] 节点 { $names } 已用完每月流量
       *[other] { $count } 个节点已用完每月流量（{ $names }）
    }
    .firing = 节点 { $name } 已用 { $percent } 的每月流量（{ $used } / { $limit }），{ $day }重新开始计算。
    .last = 节点 { $name } 已用完 { $limit } 的每月流量，{ $day }重新开始计算。
    .over = { $holds ->
        [nothing] 节点 { $name } 不再有流量额度（{ $why }）。
       *[known] 节点 { $name } 已用 { $percent } 的每月流量（{ $used } / { $limit }；{ $why }）。
    }
    .action = 在主机商限速或收费之前，把用户移到其他节点，或购买更多流量。

ProxymeterCoreDown = 代理核心停止或反复崩溃。
    .head = { $count ->
        [1] { $names } 的代理核心停止或反复崩溃
       *[other] { $count } 个代理核心停止或反复崩溃（{ $names }）
    }
    .firing = { $kind ->
        [node] 节点 { $name } 的代理核心在最近 5 分钟内有 { $percent } 的时间没有运行。
       *[target] { $name } 的代理核心在最近 5 分钟内有 { $percent } 的时间没有运行。
    }
    .over = { $kind ->
        [node] 节点 { $name } 的代理核心已恢复运行，此前 { $lasted }停止或反复崩溃（{ $times }）。
       *[target] { $name } 的代理核心已恢复运行，此前 { $lasted }停止或反复崩溃（{ $times }）。
    }
    .action = 在面板中查看核心的日志：多半是配置有误，或内存不足。

## LLM proxies

ProxymeterCredentialUnavailable = 提供商的凭据不可用。
    .head = { $count ->
        [1] 凭据 { $names } 不可用
       *[other] { $count } 个凭据不可用（{ $names }）
    }
    .firing = 凭据 { $name } 不可用：{ $cause }。
    .over = 凭据 { $name } 恢复可用，此前 { $lasted }不可用（{ $times }）。
    .action = 如果登录已失效，请在服务器上重新登录。如果配额已用完，请等待或添加另一个凭据。

ProxymeterCredentialQuota = 凭据的配额窗口即将用完或已用完。
    .head = { $count ->
        [1] 配额窗口 { $names } 已用 { $step }
       *[other] { $count } 个配额窗口已用 { $step }（{ $names }）
    }
    .head-last = { $count ->
        [1] 配额窗口 { $names } 已用完
       *[other] { $count } 个配额窗口已用完（{ $names }）
    }
    .firing = { $holds ->
        [resets] 配额窗口 { $name } 已用 { $percent }，{ $when }重新开始（{ $date }）。
       *[known] 配额窗口 { $name } 已用 { $percent }。
    }
    .last = { $holds ->
        [resets] 配额窗口 { $name } 已用完，{ $when }重新开始（{ $date }）。
       *[known] 配额窗口 { $name } 已用完。
    }
    .over = { $holds ->
        [nothing] 配额窗口 { $name } 已重新开始。
       *[known] 配额窗口 { $name } 已用 { $percent }（{ $why }）。
    }
    .action = 等待窗口重新开始，添加凭据，或把客户端移到其他提供商。

ProxymeterCredentialPlanExpiry = 凭据的付费套餐即将到期。
    .head = { $count ->
        [1] 凭据 { $names } 的套餐将在 { $step }内到期
       *[other] { $count } 个凭据的套餐将在 { $step }内到期（{ $names }）
    }
    .head-last = { $count ->
        [1] 凭据 { $names } 的套餐已到期
       *[other] { $count } 个凭据的套餐已到期（{ $names }）
    }
    .firing = 凭据 { $name } 的套餐将于 { $when }到期（{ $date }）。
    .last = 凭据 { $name } 的套餐已于 { $when }到期（{ $date }）。
    .over = { $holds ->
        [nothing] 凭据 { $name } 的套餐到期时间不再可知（{ $why }）。
       *[known] 凭据 { $name } 的套餐有效期至 { $day }（{ $why }）。
    }
    .action = 在提供商处续订套餐，或在到期前添加另一个凭据。

ProxymeterLlmErrorRatio = 对 LLM 提供商的许多请求失败。
    .head = { $count ->
        [1] 对提供商 { $names } 的许多请求失败
       *[other] 对 { $count } 个提供商的许多请求失败（{ $names }）
    }
    .firing = 最近 10 分钟内，对提供商 { $name } 的请求有 { $percent } 失败（{ $failed } / { $all } 次）。
    .over = { $holds ->
        [nothing] 对提供商 { $name } 的请求现在很少失败，此前 { $lasted }失败较多。
       *[known] 最近 10 分钟内，对提供商 { $name } 的请求有 { $percent } 失败（{ $failed } / { $all } 次），此前 { $lasted }失败更多。
    }
    .action = 查看提供商的状态页和服务器的日志。在此期间可把客户端移到其他提供商。

ProxymeterLlmTokenBudget = 客户端密钥的 token 预算即将用完或已用完。
    .head = { $count ->
        [1] 客户端密钥 { $names } 已用 { $step } 的 token 预算
       *[other] { $count } 个客户端密钥已用 { $step } 的 token 预算（{ $names }）
    }
    .head-last = { $count ->
        [1] 客户端密钥 { $names } 已用完 token 预算
       *[other] { $count } 个客户端密钥已用完 token 预算（{ $names }）
    }
    .firing = { $period ->
        [day] 客户端密钥 { $name } 已用 { $percent } 的每日预算（{ $used } / { $limit }）。
       *[month] 客户端密钥 { $name } 已用 { $percent } 的每月预算（{ $used } / { $limit }）。
    }
    .last = { $period ->
        [day] 客户端密钥 { $name } 已用完 { $limit } 的每日预算。
       *[month] 客户端密钥 { $name } 已用完 { $limit } 的每月预算。
    }
    .over = { $holds ->
        [nothing] 客户端密钥 { $name } 的预算已重新开始（{ $why }）。
       *[known] { $period ->
            [day] 客户端密钥 { $name } 已用 { $percent } 的每日预算（{ $used } / { $limit }；{ $why }）。
           *[month] 客户端密钥 { $name } 已用 { $percent } 的每月预算（{ $used } / { $limit }；{ $why }）。
        }
    }
    .action = 了解谁在使用该密钥，提高预算，或收回密钥。proxymeter 只发出警告，不会停用密钥。

ProxymeterLlmCostBudget = 客户端密钥的费用预算即将用完或已用完。
    .head = { $count ->
        [1] 客户端密钥 { $names } 已用 { $step } 的费用预算
       *[other] { $count } 个客户端密钥已用 { $step } 的费用预算（{ $names }）
    }
    .head-last = { $count ->
        [1] 客户端密钥 { $names } 已用完费用预算
       *[other] { $count } 个客户端密钥已用完费用预算（{ $names }）
    }
    .firing = { $period ->
        [day] 客户端密钥 { $name } 已用 { $percent } 的每日预算（{ $used } / { $limit }）。
       *[month] 客户端密钥 { $name } 已用 { $percent } 的每月预算（{ $used } / { $limit }）。
    }
    .last = { $period ->
        [day] 客户端密钥 { $name } 已用完 { $limit } 的每日预算。
       *[month] 客户端密钥 { $name } 已用完 { $limit } 的每月预算。
    }
    .over = { $holds ->
        [nothing] 客户端密钥 { $name } 的预算已重新开始（{ $why }）。
       *[known] { $period ->
            [day] 客户端密钥 { $name } 已用 { $percent } 的每日预算（{ $used } / { $limit }；{ $why }）。
           *[month] 客户端密钥 { $name } 已用 { $percent } 的每月预算（{ $used } / { $limit }；{ $why }）。
        }
    }
    .action = 了解谁在使用该密钥，提高预算，或收回密钥。proxymeter 只发出警告，不会停用密钥。

ProxymeterLlmUsageGap = LLM 代理的用量没有完整计入。
    .head = { $count ->
        [1] { $names } 的用量没有完整计入
       *[other] { $count } 个目标的用量没有完整计入（{ $names }）
    }
    .firing = { $name } 的用量没有完整计入：{ $cause }。
    .over = 最近一小时 { $name } 没有再丢失用量。此前丢失的无法补回。
    .action = 只让一个程序读取服务器的用量队列，并让 proxymeter 持续运行，不要长时间停顿。

## proxymeter itself

ProxymeterTest = 接收者测试。
    .head = 这是一次测试
    .firing = 这是手动发送的接收者 { $name } 的测试，一切正常。
    .over = 这是接收者 { $name } 的一次测试，已结束。
    .action = 无需处理。

ProxymeterStorageFailing = 存储不可写。
    .head = 存储不可写
    .firing = 存储不可写：告警和通知只保存在内存中，proxymeter 崩溃时会丢失。
    .over = 存储恢复可写，此前 { $lasted }不可写（{ $times }）。
    .action = 原因见日志；最常见的是磁盘已满。

ProxymeterUsageHistoryFailing = 用量历史不可写。
    .head = 用量历史不可写
    .firing = 用量历史不可写：按日和按月的用量只保存在内存中，如果 proxymeter 停止，会计入之后的日期。
    .over = 用量历史恢复可写，此前 { $lasted }不可写（{ $times }）。
    .action = 原因见日志；最常见的是磁盘已满。

ProxymeterReloadFailed = 配置无法加载。
    .head = 配置无法加载
    .firing = 上一次重新加载失败：{ $cause }。之前的配置继续生效。
    .over = 新配置已生效，此前 { $lasted }无法重新加载（{ $times }）。
    .action = 运行 proxymeter check-config，它会指出文件、行和键。

ProxymeterHeartbeatWithheld = 心跳没有发送。
    .head = 心跳没有发送
    .firing = 心跳没有发送，原因：{ $cause }。
    .over = 心跳恢复发送，此前 { $lasted }没有发送（{ $times }）。
    .action = 查看其他告警和日志：读取或发送停止时，心跳也会停止。

ProxymeterNotificationsFailing = 接收者不接受通知。
    .head = { $count ->
        [1] 接收者 { $names } 不接受通知
       *[other] { $count } 个接收者不接受通知（{ $names }）
    }
    .firing = 接收者 { $name } 不接受通知：{ $cause }。
    .over = 接收者 { $name } 重新接受通知，此前 { $lasted }不接受（{ $times }）。
    .action = 运行 proxymeter test-notification 并附上接收者的名称，更正它的地址、登录信息或令牌。等待发送的通知保留三天。

ProxymeterNotificationsAbandoned = 有通知被放弃。
    .head = { $count ->
        [1] 发给接收者 { $names } 的通知被放弃
       *[other] 发给 { $count } 个接收者的通知被放弃（{ $names }）
    }
    .firing = 发给接收者 { $name } 的 { $count } 条通知被放弃。
    .over = 最近一小时没有再放弃发给接收者 { $name } 的通知。此前放弃的不会再发送。
    .action = 原因见日志。触发中的告警见状态页和 /api/v1/alerts；proxymeter replay-notifications 会重新发送。

## The daily digest

digest-title = 每日摘要，{ $day }
digest-title-with = { $title }：{ $parts }
digest-count-outages = { $count } 次故障
digest-count-expiring = { $count } 名用户即将到期
digest-count-used = { $count } 名用户的流量即将用完
digest-heading-late = 这份摘要迟到了
digest-late = 它应于 { $due } 发出，涵盖自 { $since } 以来的全部变化。
digest-heading-nothing = 没有需要报告的内容
digest-nothing = 自 { $since } 以来没有变化，也没有用户即将到期或流量即将用完。
digest-heading-outages = { $target }：故障
digest-heading-expiring = { $target }：即将到期的用户
digest-heading-used = { $target }：流量即将用完的用户
digest-heading-used-up = { $target }：按最近三天的速度，很快会用完流量限额的用户
digest-heading-renewed = { $target }：已续期的用户
digest-heading-reset = { $target }：可用流量增加的用户
digest-heading-new = { $target }：新用户
digest-heading-gone = { $target }：已删除的用户
digest-outage-target = { $name } 曾有 { $lasted }无法读取，始于 { $date }
digest-outage-target-now = { $name } 自 { $date } 起无法读取，至今 { $lasted }
digest-outage-node = 节点 { $name } 曾离线 { $lasted }，始于 { $date }
digest-outage-node-now = 节点 { $name } 自 { $date } 起离线，至今 { $lasted }
digest-outage-outbound = 出站 { $name } 曾中断 { $lasted }，始于 { $date }
digest-outage-outbound-now = 出站 { $name } 自 { $date } 起中断，至今 { $lasted }
digest-outage-credential = 凭据 { $name } 曾有 { $lasted }不可用，始于 { $date }
digest-outage-credential-now = 凭据 { $name } 自 { $date } 起不可用，至今 { $lasted }
digest-outages = { $last }（共 { $count } 次，此为最后一次，合计 { $lasted }）
digest-heading-top = { $target }：{ $day }流量最多的用户
digest-used = { $name }：{ $used }
digest-used-note = { $name }：{ $used }（{ $note }）
digest-note-gap = 不精确：有一段时间没有读取数据
digest-note-reset = 不含重置之前不久的用量
digest-expires = { $name }：{ $when }（{ $date }）
digest-uses = { $name }：{ $percent }（{ $used } / { $limit }）
digest-renewed = { $name }：有效期至 { $day }
digest-renewed-forever = { $name }：没有到期时间
digest-reset = { $name }：已用 { $used } / { $limit }，此前为 { $before }
digest-raised = { $name }：已用 { $used } / { $limit }，限额此前为 { $before }
digest-unlimited = { $name }：已用 { $used }，{ $before } 的限额已取消
digest-more = ……另有 { $count } 个

## The monthly statement

statement-title = { $month } 月度账单：{ $target }
statement-title-admin = { $month } 月度账单：{ $target }，{ $admin }
statement-heading-sum = 合计
statement-period = 期间：{ $period }
statement-period-since = 期间：{ $period }（{ $since }之前没有数据）
statement-total = 流量：{ $used }（{ $bytes } 字节）
statement-limit = 目前已用限额的 { $percent }（{ $used } / { $limit }）
statement-users = 当前用户数：{ $count }
statement-active = 本月有流量的用户数：{ $count }
statement-others = 其中 { $used } 来自现属其他管理员的用户
statement-elsewhere = 表格比合计多 { $used }，来自此前属于其他管理员的用户
statement-unread = 自 { $date } 起未能读取面板，此后的用量未计入。
statement-gap = 月份交界处有一段时间没有读取数据，部分流量可能属于另一个月。
statement-reset = 面板重置过计数；重置之前不久的用量未计入。
statement-heading-top = 流量最多的用户
statement-heading-table = 表格
statement-table = { $file } 为每个有流量的用户列出一行（{ $rows }）。
statement-table-first = { $file } 列出流量最多的 { $rows } 名用户；另有 { $more } 名未列出。
