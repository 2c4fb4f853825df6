# What notifications, pages and answers say about alerts.
#
# A rule's message is its summary. Its attributes are the other forms:
#   head       the first line of a message about $count subjects, $names; $step is the step that they have crossed
#   head-last  the same, of the last step; where it is missing, head
#   firing     what is true while it fires
#   last       the same, once all is used up or the time has come; where it is missing, firing
#   over       what holds after it has ended: $why it ended, how long it $lasted, from when until when ($times)
#   action     what to do
# $name is a subject's name, $kind what it is: "target" for a target itself. $holds says what is known of the values:
# "nothing" where there is no limit or no end any more, "resets" where it is known when they begin again, "never" where
# there was none yet, else "known".
# $period is "day" or "month".
#
# Each variant of a choice is a whole sentence, because Fluent isolates what is filled in where texts run from right to left.

## Quantities

unit-days = { $n ->
    [one] { $n } day
   *[other] { $n } days
}
unit-hours = { $n } h
unit-minutes = { $n } min
unit-seconds = { $n } s
units = { $large } { $small }
time-in = in { $time }
time-ago = { $time } ago
date = { $day } { $month } { $year }
date-and-time = { $date }, { $time }
date-never = never
span-times = { $from }–{ $to }
span-dates = { $from } – { $to }
percent = { $n } %
or-more = { $percent } or more
# $n is $count with separators.
tokens = { $n } tokens
name-of-target = { $name } ({ $target })
list-comma = ,{" "}
list-more = { $names } and { $more } more
month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December

## The frame of a message

# $target is a name, $what a headline or a sentence.
subject = { $target }: { $what }
subject-counts = { $new ->
    [0] { $resolved ->
        [0] { $firing } still firing
       *[other] { $resolved } resolved, { $firing } firing
    }
   *[other] { $resolved ->
        [0] { $new } new, { $firing } firing
       *[other] { $new } new, { $resolved } resolved, { $firing } firing
    }
}
subject-resolved = { $count } resolved: { $names }
subject-still = still: { $what }
subject-none = nothing is firing
several-targets = several targets
heading-new = New
heading-resolved = Resolved
heading-still = Still firing
still = { $count ->
    [one] 1 alert is still firing.
   *[other] { $count } alerts are still firing.
}
left-out-firing = … and { $count } more that { $count ->
    [one] is
   *[other] are
} firing.
left-out-resolved = … and { $count } more that { $count ->
    [one] is
   *[other] are
} resolved.
follow = { $count ->
    [one] 1 more alert follows in the next message.
   *[other] { $count } more alerts follow in the next message.
}
since = since { $date }
ended = ended { $date }
what-to-do = What to do
all-alerts = All alerts
runbook = Runbook
times-are = Times are { $zone }.
sent-by = Sent by proxymeter to the receiver "{ $receiver }".
severity-critical = critical
severity-warning = warning
severity-info = info
details-refused = The server refused this message with its details, so they are left out. proxymeter's own page and /api/v1/alerts show the alerts that are firing.

## Why an alert has ended

end-renewed = renewed
end-topped-up = limit changed
end-reset = use set back
end-recovered = recovered
ended-deleted = { $name } no longer exists.
ended-disabled = { $name } was switched off.
ended-clock-set = The clock was set back, so the time of { $name } has not come yet.
ended-rule-removed = No rule asks about { $name } any more.
ended-target-replaced = { $name } belonged to a system that this target no longer is.

## Causes

cause-with-detail = { $cause } ({ $detail })
cause-until = { $cause }, until { $date }
cause-auth = the user name, the password or the token is not accepted
cause-banned = it has locked out the address of proxymeter
cause-client-error = it refuses the request
cause-connect = no connection could be made
cause-decode = its answer does not have the expected format
cause-forbidden = the login may not read it
cause-interrupted = the connection broke before the answer ended
cause-not-found = there is nothing at this address
cause-not-json = it answers with a web page: something else may be at this address
cause-rate-limited = it asks to wait
cause-redirect = it redirects to another address
cause-server-error = it reports an error of its own
cause-timeout = it does not answer in time
cause-tls = its certificate or its encryption cannot be used
cause-too-large = its answer is too large
cause-quota-exceeded = its quota is used up
cause-cloudflare-challenge = the provider's firewall stops it
cause-model-not-supported = it may not use the model
cause-login-expired-or-revoked = its login has ended
cause-payment-required = the provider asks for payment
cause-upstream-errors = the provider fails
cause-cooling-down = it is paused after errors
cause-its-quota-is-used-up = its quota is used up
cause-the-provider-s-firewall-stops-it = the provider's firewall stops it
cause-it-may-not-use-the-model = it may not use the model
cause-its-login-has-ended = its login has ended
cause-the-provider-refuses-it = the provider refuses it
cause-the-provider-asks-for-payment = the provider asks for payment
cause-the-provider-does-not-find-what-it-asks-for = the provider does not find what it asks for
cause-the-provider-fails = the provider fails
cause-it-cools-down = it is paused after errors
cause-the-server-says-that-it-cannot-be-used = the server says that it cannot be used
cause-unknown = the cause is not known
cause-connecting = the panel is trying to connect
cause-error = the panel reports an error
cause-limited = the data limit is reached
cause-expired = the plan has expired
cause-disabled = switched off
cause-its-data-limit-is-reached = its data limit is reached
cause-its-probes-fail = its probes fail
cause-the-panel-fails-on-it = the panel fails on it
cause-it-is-larger-than-1-mib = it is larger than 1 MiB
cause-it-is-not-an-object = it is not an object
cause-it-has-no-name = it has no name
cause-records-were-lost-and-another-reader-takes-some = records were lost, and another reader takes some
cause-records-were-lost = records were lost
cause-another-reader-takes-records = another reader takes records
cause-not-writable = it is not writable
cause-the-file-cannot-be-used = the file cannot be used
cause-a-file-that-it-names-has-changed-and-cannot-be-used = a file that it names has changed and cannot be used

## Users

ProxymeterUserExpiry = User expires soon or has expired.
    .head = { $count ->
        [one] user { $names } expires within { $step }
       *[other] { $count } users expire within { $step } ({ $names })
    }
    .head-last = { $count ->
        [one] user { $names } has expired
       *[other] { $count } users have expired ({ $names })
    }
    .firing = User { $name } expires { $when }, on { $date }.
    .last = User { $name } expired { $when }, on { $date }.
    .over = { $holds ->
        [nothing] User { $name } no longer has an end date ({ $why }).
       *[known] User { $name } runs until { $day } ({ $why }).
    }
    .action = Renew the plan in the panel, or ask whether the user wants to go on. No action is needed if the user leaves.

ProxymeterUserQuota = User has used up most or all of the data limit.
    .head = { $count ->
        [one] user { $names } has used { $step } of the data limit
       *[other] { $count } users have used { $step } of their data limit ({ $names })
    }
    .head-last = { $count ->
        [one] user { $names } has used up the data limit
       *[other] { $count } users have used up their data limit ({ $names })
    }
    .firing = { $holds ->
        [resets] User { $name } has used { $percent } of the data limit ({ $used } of { $limit }); it resets on { $day }.
       *[known] User { $name } has used { $percent } of the data limit ({ $used } of { $limit }).
    }
    .last = { $holds ->
        [resets] User { $name } has used up the data limit of { $limit }; it resets on { $day }.
       *[known] User { $name } has used up the data limit of { $limit }.
    }
    .over = { $holds ->
        [nothing] User { $name } no longer has a data limit ({ $why }).
       *[known] User { $name } has used { $percent } of the data limit ({ $used } of { $limit }; { $why }).
    }
    .action = Raise the limit or reset the traffic in the panel. At 100 % the user is cut off until the reset.

# $daily is what the user uses in a day.
ProxymeterQuotaForecast = User uses up the data limit soon at the present rate.
    .head = { $count ->
        [one] user { $names } uses up the data limit within { $step }
       *[other] { $count } users use up their data limit within { $step } ({ $names })
    }
    .firing = At the rate of the last three days ({ $daily } a day), user { $name } uses up the data limit of { $limit } { $when }, on { $day }.
    .over = { $holds ->
        [nothing] User { $name } no longer has a data limit ({ $why }).
       *[known] User { $name } will not use up the data limit so soon any more: { $used } of { $limit } used ({ $why }).
    }
    .action = Tell the user, or raise the limit in the panel. No action is needed if the user is to be cut off then.

ProxymeterUserStatus = User is not allowed to connect.
    .head = { $count ->
        [one] user { $names } cannot connect
       *[other] { $count } users cannot connect ({ $names })
    }
    .firing = User { $name } cannot connect: { $cause }.
    .over = User { $name } can connect again, after { $lasted } ({ $times }).
    .action = No action is needed if this is intended. Otherwise renew the plan, raise the limit, or switch the user on in the panel.

ProxymeterUserInactive = User has not been online for a long time.
    .head = { $count ->
        [one] user { $names } has not been online for { $step }
       *[other] { $count } users have not been online for { $step } ({ $names })
    }
    .firing = { $holds ->
        [never] User { $name } was created { $when }, on { $date }, and was never online.
       *[known] User { $name } was last online { $when }, on { $date }.
    }
    .over = { $holds ->
        [nothing] User { $name } is not an active user any more.
       *[known] User { $name } was online again { $when }, on { $date }.
    }
    .action = Ask whether the account is still needed. If not, disable or delete it in the panel.

ProxymeterUserDevices = User uses more addresses at a time than allowed.
    .head = { $count ->
        [one] user { $names } uses more addresses than allowed
       *[other] { $count } users use more addresses than allowed ({ $names })
    }
    .firing = User { $name } uses { $count } addresses at a time; { $limit } allowed.
    .over = { $holds ->
        [nothing] User { $name } is not an active user any more, or may use any number of addresses.
       *[known] { $count ->
            [one] User { $name } uses 1 address; { $limit } allowed.
           *[other] User { $name } uses { $count } addresses; { $limit } allowed.
        }
    }
    .action = Ask whether the account is shared. If more devices are meant to use it, raise the limit.

ProxymeterUserTraffic = User has moved much traffic in a short time.
    .head = { $count ->
        [one] user { $names } moves much traffic
       *[other] { $count } users move much traffic ({ $names })
    }
    .firing = User { $name } has moved { $used } within { $time }; the limit is { $limit }.
    .over = User { $name } moves less traffic again; it was too much for { $lasted } ({ $times }).
    .action = Ask whether the account is shared or a device is infected. Limit or disable the user in the panel if needed.

## Admins

ProxymeterAdminQuota = Admin has used up most or all of the data limit.
    .head = { $count ->
        [one] admin { $names } has used { $step } of the data limit
       *[other] { $count } admins have used { $step } of their data limit ({ $names })
    }
    .head-last = { $count ->
        [one] admin { $names } has used up the data limit
       *[other] { $count } admins have used up their data limit ({ $names })
    }
    .firing = Users of admin { $name } have used { $percent } of the admin's data limit ({ $used } of { $limit }).
    .last = Users of admin { $name } have used up the admin's data limit of { $limit }.
    .over = { $holds ->
        [nothing] Admin { $name } no longer has a data limit ({ $why }).
       *[known] Users of admin { $name } have used { $percent } of the admin's data limit ({ $used } of { $limit }; { $why }).
    }
    .action = Raise the limit, or reset the admin's usage in the panel once the next period is paid.

## Inbounds and outbounds

ProxymeterInboundExpiry = Inbound expires soon or has expired.
    .head = { $count ->
        [one] inbound { $names } expires within { $step }
       *[other] { $count } inbounds expire within { $step } ({ $names })
    }
    .head-last = { $count ->
        [one] inbound { $names } has expired
       *[other] { $count } inbounds have expired ({ $names })
    }
    .firing = Inbound { $name } expires { $when }, on { $date }.
    .last = Inbound { $name } expired { $when }, on { $date }. All its clients are cut off.
    .over = { $holds ->
        [nothing] Inbound { $name } no longer has an end date ({ $why }).
       *[known] Inbound { $name } runs until { $day } ({ $why }).
    }
    .action = Set a later end date in the panel. At the end all clients of the inbound are cut off.

ProxymeterInboundQuota = Inbound has used up most or all of the data limit.
    .head = { $count ->
        [one] inbound { $names } has used { $step } of the data limit
       *[other] { $count } inbounds have used { $step } of their data limit ({ $names })
    }
    .head-last = { $count ->
        [one] inbound { $names } has used up the data limit
       *[other] { $count } inbounds have used up their data limit ({ $names })
    }
    .firing = Inbound { $name } has used { $percent } of the data limit ({ $used } of { $limit }).
    .last = Inbound { $name } has used up the data limit of { $limit }. All its clients are cut off.
    .over = { $holds ->
        [nothing] Inbound { $name } no longer has a data limit ({ $why }).
       *[known] Inbound { $name } has used { $percent } of the data limit ({ $used } of { $limit }; { $why }).
    }
    .action = Raise the limit or reset the traffic in the panel. At 100 % all clients of the inbound are cut off.

ProxymeterOutboundDown = Outbound is down.
    .head = { $count ->
        [one] outbound { $names } is down
       *[other] { $count } outbounds are down ({ $names })
    }
    .firing = Outbound { $name } is down: { $cause }.
    .over = Outbound { $name } works again; it was down for { $lasted } ({ $times }).
    .action = Look whether the server behind the outbound runs and can be reached from the panel's host.

## Targets

ProxymeterTargetDown = Target does not answer as it should.
    .head = { $count ->
        [one] { $names } cannot be read
       *[other] { $count } targets cannot be read ({ $names })
    }
    .firing = { $name } cannot be read: { $cause }.
    .over = { $name } answers again; it could not be read for { $lasted } ({ $times }).
    .action = Open the panel's address from proxymeter's machine, and look whether the panel runs. Until it answers, nothing else is known of it.

ProxymeterLoginRefused = Target refuses the login.
    .head = { $count ->
        [one] { $names } refuses the login
       *[other] { $count } targets refuse the login ({ $names })
    }
    .firing = { $name } refuses the login: { $cause }. It is tried again rarely, so that the account is not locked.
    .over = { $name } accepts the login again, after { $lasted } ({ $times }).
    .action = Correct the user name, the password or the token in proxymeter's configuration, and reload it.

ProxymeterPartStale = Part of a target has not been read for a while.
    .head = { $count ->
        [one] part { $names } is not read
       *[other] { $count } parts are not read ({ $names })
    }
    .firing = Part { $name } was last read { $time } ago.
    .over = Part { $name } is read again, after { $lasted } without a read ({ $times }).
    .action = Look at proxymeter's status page for the cause. If the panel is too slow, raise the timeout or lower the load on the panel.

ProxymeterRightLost = Login may no longer read a part of its target.
    .head = { $count ->
        [one] the login may no longer read { $names }
       *[other] the login may no longer read { $count } parts ({ $names })
    }
    .firing = The login lost its right to read { $name }. Those values are no longer updated.
    .over = The login may read { $name } again, after { $lasted } ({ $times }).
    .action = Give the account its right back in the panel, or exclude the part from this rule.

ProxymeterRowsUnreadable = Part of the user list cannot be read.
    .head = { $count ->
        [one] part of the user list of { $names } cannot be read
       *[other] parts of the user lists of { $count } targets cannot be read ({ $names })
    }
    .firing = { $count ->
        [one] 1 user of { $name } cannot be read: { $cause }.
       *[other] { $count } users of { $name } cannot be read. The first one: { $cause }.
    }
    .over = All users of { $name } can be read again, after { $lasted } ({ $times }).
    .action = proxymeter's log says which rows. Those users are missing from metrics and alerts; repair or delete them in the panel.

ProxymeterAccountingStalled = Proxy traffic of a target or of a node is no longer counted.
    .head = { $count ->
        [one] traffic of { $names } is not counted
       *[other] traffic of { $count } subjects is not counted ({ $names })
    }
    .firing = { $kind ->
        [node] No traffic has been counted on node { $name } for { $time }, although users are active.
       *[target] No traffic has been counted on { $name } for { $time }, although users are active.
    }
    .over = { $kind ->
        [node] Traffic of node { $name } is counted again, after { $lasted } without any ({ $times }).
       *[target] Traffic of { $name } is counted again, after { $lasted } without any ({ $times }).
    }
    .action = Try a connection as a user. If it works, restart the core or the node: the panel has lost its counters.

ProxymeterCertificateExpiry = Certificate expires soon.
    .head = { $count ->
        [one] the certificate of { $names } expires within { $step }
       *[other] { $count } certificates expire within { $step } ({ $names })
    }
    .head-last = { $count ->
        [one] the certificate of { $names } has expired
       *[other] { $count } certificates have expired ({ $names })
    }
    .firing = The certificate of { $name } expires { $when }, on { $date }.
    .last = The certificate of { $name } expired { $when }, on { $date }.
    .over = The certificate of { $name } is valid until { $day } ({ $why }).
    .action = Renew the certificate, and restart the panel or the proxy in front of it.

ProxymeterHostCpu = Processor is busy.
    .head = { $count ->
        [one] the processor of { $names } is { $step } busy
       *[other] the processors of { $count } hosts are { $step } busy ({ $names })
    }
    .firing = The processor of { $name } is { $percent } busy.
    .over = The processor of { $name } is { $percent } busy; it was above its limit for { $lasted }.
    .action = Run top to find the busy process. If it is the proxy core, move users to other nodes.

ProxymeterHostMemory = Memory is nearly full.
    .head = { $count ->
        [one] the memory of { $names } is { $step } full
       *[other] the memory of { $count } hosts is { $step } full ({ $names })
    }
    .firing = The memory of { $name } is { $percent } full.
    .over = The memory of { $name } is { $percent } full; it was above its limit for { $lasted }.
    .action = Run free and ps to find the largest process. Restart it, or give the host more memory.

ProxymeterHostDisk = Disk is nearly full.
    .head = { $count ->
        [one] the disk of { $names } is { $step } full
       *[other] the disks of { $count } hosts are { $step } full ({ $names })
    }
    .firing = The disk of { $name } is { $percent } full.
    .over = The disk of { $name } is { $percent } full; it was above its limit for { $lasted }.
    .action = Delete or rotate logs, container logs and old backups. A full disk stops the panel's database.

## Nodes

ProxymeterNodeDown = Node is down.
    .head = { $count ->
        [one] node { $names } is down
       *[other] { $count } nodes are down ({ $names })
    }
    .firing = Node { $name } is down: { $cause }.
    .over = Node { $name } is connected again; it was down for { $lasted } ({ $times }).
    .action = Look whether the node's server and its service run, then reconnect the node in the panel.

ProxymeterNodeCpu = Processor of a node is busy.
    .head = { $count ->
        [one] the processor of node { $names } is { $step } busy
       *[other] the processors of { $count } nodes are { $step } busy ({ $names })
    }
    .firing = The processor of node { $name } is { $percent } busy.
    .over = The processor of node { $name } is { $percent } busy; it was above its limit for { $lasted }.
    .action = Move users to other nodes, or give the node more cores.

ProxymeterNodeMemory = Memory of a node is nearly full.
    .head = { $count ->
        [one] the memory of node { $names } is { $step } full
       *[other] the memory of { $count } nodes is { $step } full ({ $names })
    }
    .firing = The memory of node { $name } is { $percent } full.
    .over = The memory of node { $name } is { $percent } full; it was above its limit for { $lasted }.
    .action = Run free and ps on the node to find the largest process. Restart it, or give the node more memory.

ProxymeterNodeTraffic = Node has used up most or all of its monthly traffic.
    .head = { $count ->
        [one] node { $names } has used { $step } of its monthly traffic
       *[other] { $count } nodes have used { $step } of their monthly traffic ({ $names })
    }
    .head-last = { $count ->
        [one] node { $names } has used up its monthly traffic
       *[other] { $count } nodes have used up their monthly traffic ({ $names })
    }
    .firing = Node { $name } has used { $percent } of its monthly traffic ({ $used } of { $limit }); the next month begins on { $day }.
    .last = Node { $name } has used up its monthly traffic of { $limit }; the next month begins on { $day }.
    .over = { $holds ->
        [nothing] Node { $name } no longer has an allowance ({ $why }).
       *[known] Node { $name } has used { $percent } of its monthly traffic ({ $used } of { $limit }; { $why }).
    }
    .action = Move users to other nodes, or buy more traffic, before the hoster throttles the server or sends a bill.

ProxymeterCoreDown = Proxy core is down or keeps dying.
    .head = { $count ->
        [one] the proxy core of { $names } is down or keeps dying
       *[other] { $count } proxy cores are down or keep dying ({ $names })
    }
    .firing = { $kind ->
        [node] The proxy core of node { $name } is down or keeps dying: it was down for { $percent } of the last 5 min.
       *[target] The proxy core of { $name } is down or keeps dying: it was down for { $percent } of the last 5 min.
    }
    .over = { $kind ->
        [node] The proxy core of node { $name } runs again; it was down or kept dying for { $lasted } ({ $times }).
       *[target] The proxy core of { $name } runs again; it was down or kept dying for { $lasted } ({ $times }).
    }
    .action = Read the core's log in the panel. The usual cause is a mistake in its configuration, or too little memory.

## LLM proxies

ProxymeterCredentialUnavailable = Credential of a provider cannot be used.
    .head = { $count ->
        [one] credential { $names } cannot be used
       *[other] { $count } credentials cannot be used ({ $names })
    }
    .firing = Credential { $name } cannot be used: { $cause }.
    .over = Credential { $name } can be used again, after { $lasted } ({ $times }).
    .action = If its login has ended, log in again on the server. If its quota is used up, wait or add another credential.

ProxymeterCredentialQuota = Credential has used up most or all of a quota window.
    .head = { $count ->
        [one] { $step } of the quota window { $names } is used
       *[other] { $step } of { $count } quota windows is used ({ $names })
    }
    .head-last = { $count ->
        [one] the quota window { $names } is used up
       *[other] { $count } quota windows are used up ({ $names })
    }
    .firing = { $holds ->
        [resets] { $percent } of the quota window { $name } is used; it begins again { $when }, on { $date }.
       *[known] { $percent } of the quota window { $name } is used.
    }
    .last = { $holds ->
        [resets] The quota window { $name } is used up; it begins again { $when }, on { $date }.
       *[known] The quota window { $name } is used up.
    }
    .over = { $holds ->
        [nothing] The quota window { $name } has begun again.
       *[known] { $percent } of the quota window { $name } is used ({ $why }).
    }
    .action = Wait for the window to begin again, add a credential, or move clients to another provider.

ProxymeterCredentialPlanExpiry = Plan that pays for a credential ends soon.
    .head = { $count ->
        [one] the plan of credential { $names } ends within { $step }
       *[other] the plans of { $count } credentials end within { $step } ({ $names })
    }
    .head-last = { $count ->
        [one] the plan of credential { $names } has ended
       *[other] the plans of { $count } credentials have ended ({ $names })
    }
    .firing = The plan of credential { $name } ends { $when }, on { $date }.
    .last = The plan of credential { $name } ended { $when }, on { $date }.
    .over = { $holds ->
        [nothing] No end is known of the plan of credential { $name } any more ({ $why }).
       *[known] The plan of credential { $name } runs until { $day } ({ $why }).
    }
    .action = Renew the plan at the provider, or add another credential before it ends.

ProxymeterLlmErrorRatio = Many attempts at an LLM provider fail.
    .head = { $count ->
        [one] many attempts at provider { $names } fail
       *[other] many attempts at { $count } providers fail ({ $names })
    }
    .firing = At provider { $name }, { $percent } of the attempts of the last 10 min failed ({ $failed } of { $all }).
    .over = { $holds ->
        [nothing] At provider { $name }, few attempts fail again; many did for { $lasted }.
       *[known] At provider { $name }, { $percent } of the attempts of the last 10 min failed ({ $failed } of { $all }); it was more for { $lasted }.
    }
    .action = Look at the provider's status page and at the log of the LLM proxy. Move clients to another provider meanwhile.

ProxymeterLlmTokenBudget = Client key has used up most or all of its token budget.
    .head = { $count ->
        [one] client key { $names } has used { $step } of its token budget
       *[other] { $count } client keys have used { $step } of their token budget ({ $names })
    }
    .head-last = { $count ->
        [one] client key { $names } has used up its token budget
       *[other] { $count } client keys have used up their token budget ({ $names })
    }
    .firing = Client key { $name } has used { $percent } of its budget ({ $used } of { $limit } a { $period }).
    .last = Client key { $name } has used up its budget of { $limit } a { $period }.
    .over = { $holds ->
        [nothing] Client key { $name } has a fresh budget ({ $why }).
       *[known] Client key { $name } has used { $percent } of its budget ({ $used } of { $limit } a { $period }; { $why }).
    }
    .action = Ask who uses the key, raise the budget, or disable the key. proxymeter only warns; it does not stop the key.

ProxymeterLlmCostBudget = Client key has used up most or all of its cost budget.
    .head = { $count ->
        [one] client key { $names } has used { $step } of its cost budget
       *[other] { $count } client keys have used { $step } of their cost budget ({ $names })
    }
    .head-last = { $count ->
        [one] client key { $names } has used up its cost budget
       *[other] { $count } client keys have used up their cost budget ({ $names })
    }
    .firing = Client key { $name } has used { $percent } of its budget ({ $used } of { $limit } a { $period }).
    .last = Client key { $name } has used up its budget of { $limit } a { $period }.
    .over = { $holds ->
        [nothing] Client key { $name } has a fresh budget ({ $why }).
       *[known] Client key { $name } has used { $percent } of its budget ({ $used } of { $limit } a { $period }; { $why }).
    }
    .action = Ask who uses the key, raise the budget, or disable the key. proxymeter only warns; it does not stop the key.

ProxymeterLlmUsageGap = Usage of an LLM proxy is not counted completely.
    .head = { $count ->
        [one] usage of { $names } is not counted completely
       *[other] usage of { $count } targets is not counted completely ({ $names })
    }
    .firing = Usage of { $name } is not counted completely: { $cause }.
    .over = No usage of { $name } was lost within the last hour. What was lost before stays lost.
    .action = Let only one program read the server's usage queue, and keep proxymeter running without long pauses.

## proxymeter itself

ProxymeterTest = Test of a receiver.
    .head = this is a test
    .firing = This is a test of receiver { $name }, sent by hand. Nothing is wrong.
    .over = This was a test of receiver { $name }.
    .action = Nothing.

ProxymeterStorageFailing = The storage is not writable.
    .head = the storage is not writable
    .firing = The storage is not writable: alerts and notifications are kept in memory only and are lost if proxymeter crashes.
    .over = The storage is writable again, after { $lasted } ({ $times }).
    .action = See proxymeter's log for the reason; the most common one is a full disk.

ProxymeterUsageHistoryFailing = The history of use is not writable.
    .head = the history of use is not writable
    .firing = The history of use is not writable: what is used by day and month is kept in memory only. If proxymeter stops, it counts on a later day.
    .over = The history of use is writable again, after { $lasted } ({ $times }).
    .action = See proxymeter's log for the reason; the most common one is a full disk.

ProxymeterReloadFailed = Configuration could not be loaded.
    .head = the configuration could not be loaded
    .firing = The last reload failed: { $cause }. The configuration from before stays in force.
    .over = The new configuration is in force; reloading had failed for { $lasted } ({ $times }).
    .action = Run proxymeter check-config: it names the file, the line and the key.

ProxymeterHeartbeatWithheld = The heartbeat is not sent.
    .head = the heartbeat is not sent
    .firing = The heartbeat is not sent: { $cause }.
    .over = The heartbeat is sent again, after { $lasted } without one ({ $times }).
    .action = Repair what the cause names first; the other alerts say more. The heartbeat goes on by itself.

ProxymeterNotificationsFailing = A receiver does not accept notifications.
    .head = { $count ->
        [one] receiver { $names } does not accept notifications
       *[other] { $count } receivers do not accept notifications ({ $names })
    }
    .firing = Receiver { $name } does not accept notifications: { $cause }.
    .over = Receiver { $name } accepts notifications again, after { $lasted } ({ $times }).
    .action = Run proxymeter test-notification with the receiver's name, and correct its address, login or token. Notifications that wait are kept for three days.

ProxymeterNotificationsAbandoned = Notifications were given up.
    .head = { $count ->
        [one] notifications for receiver { $names } were given up
       *[other] notifications for { $count } receivers were given up ({ $names })
    }
    .firing = { $count ->
        [one] 1 notification for receiver { $name } was given up.
       *[other] { $count } notifications for receiver { $name } were given up.
    }
    .over = No notification for receiver { $name } was given up within the last hour. Those given up before are not sent.
    .action = See proxymeter's log for the reason, and repair the receiver. Its status page shows what is firing; proxymeter replay-notifications sends again what was given up.

## The daily digest

# The title of a digest, and a few numbers after it.
digest-title = Daily digest, { $day }
digest-title-with = { $title }: { $parts }
digest-count-outages = { $count ->
    [one] 1 outage
   *[other] { $count } outages
}
digest-count-expiring = { $count ->
    [one] 1 user expires soon
   *[other] { $count } users expire soon
}
digest-count-used = { $count ->
    [one] 1 user is near the data limit
   *[other] { $count } users are near the data limit
}
digest-heading-late = This digest is late
digest-late = It was due on { $due } and covers everything since { $since }.
digest-heading-nothing = Nothing to report
digest-nothing = Nothing has changed since { $since }, and no user expires soon or is near the data limit.
# $target is a name. A line for each subject follows; $name is a user's or node's name.
digest-heading-outages = { $target }: outages
digest-heading-expiring = { $target }: users who expire soon
digest-heading-used = { $target }: users near the data limit
digest-heading-used-up = { $target }: users who use up the data limit soon at the rate of the last three days
digest-heading-renewed = { $target }: renewed users
digest-heading-reset = { $target }: users who can use more again
digest-heading-new = { $target }: new users
digest-heading-gone = { $target }: deleted users
digest-outage-target = { $name } could not be read for { $lasted }, from { $date }
digest-outage-target-now = { $name } cannot be read since { $date }, for { $lasted } so far
digest-outage-node = node { $name } was down for { $lasted }, from { $date }
digest-outage-node-now = node { $name } is down since { $date }, for { $lasted } so far
digest-outage-outbound = outbound { $name } was down for { $lasted }, from { $date }
digest-outage-outbound-now = outbound { $name } is down since { $date }, for { $lasted } so far
digest-outage-credential = credential { $name } was not available for { $lasted }, from { $date }
digest-outage-credential-now = credential { $name } is not available since { $date }, for { $lasted } so far
# $last is one of the sentences above. There are two or more outages.
digest-outages = { $last } (the last of { $count } outages, { $lasted } altogether)
# A line for each user follows, with what the user used on that day.
digest-heading-top = { $target }: most traffic on { $day }
digest-used = { $name }: { $used }
digest-used-note = { $name }: { $used } ({ $note })
digest-note-gap = not exact: nothing was read for a while
digest-note-reset = without what was used just before a reset
digest-expires = { $name }: { $when } ({ $date })
digest-uses = { $name }: { $percent } ({ $used } of { $limit })
digest-renewed = { $name }: until { $day }
digest-renewed-forever = { $name }: without an end date
digest-reset = { $name }: { $used } of { $limit } used, { $before } before
digest-raised = { $name }: { $used } of { $limit } used, the limit was { $before }
digest-unlimited = { $name }: { $used } used, the limit of { $before } is gone
digest-more = … and { $count } more

## The monthly statement

# $month is such as 2026-11; $target and $admin are names.
statement-title = Statement for { $month }: { $target }
statement-title-admin = Statement for { $month }: { $target }, { $admin }
statement-heading-sum = Total
# $period is such as: 1 November 2026 – 30 November 2026
statement-period = Period: { $period }
statement-period-since = Period: { $period } (nothing is known before { $since })
statement-total = Traffic: { $used } ({ $bytes } bytes)
statement-limit = At present, { $percent } of the limit is used ({ $used } of { $limit })
statement-users = Users at present: { $count }
statement-active = Users with traffic in this month: { $count }
statement-others = { $used } of the traffic is from users who have another admin now
statement-elsewhere = The table has { $used } more than the total, from users who had another admin before
statement-unread = The panel was not read since { $date }, so what was used after that is not included.
statement-gap = Nothing was read for a while around the end of a month, so part of the traffic may belong to another month.
statement-reset = The panel reset counters; what was used just before a reset is not included.
statement-heading-top = Most traffic
statement-heading-table = Table
# $file is the name of the attached file.
statement-table = { $file } has a row for each user with traffic ({ $rows }).
statement-table-first = { $file } has the { $rows } users with the most traffic; { $more } more are left out.
