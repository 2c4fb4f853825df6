# Notifications in Persian. The comments in en.ftl say what each message is.
#
# Fluent isolates what is filled in. An isolate has no direction for the text around it, so a text without a Persian word
# of its own begins with a right-to-left mark. What begins with a slash or a digit, and is read from left to right, has a
# left-to-right mark.

## Quantities

unit-days = { $n } روز
unit-hours = { $n } ساعت
unit-minutes = { $n } دقیقه
unit-seconds = { $n } ثانیه
units = { $large } و { $small }
time-in = { $time } دیگر
time-ago = { $time } پیش
date = {"\u200F"}{ $day } { $month } { $year }
date-and-time = {"\u200F"}{ $date }، ساعت { $time }
date-never = هیچ‌وقت
span-times = از { $from } تا { $to }
span-dates = از { $from } تا { $to }
percent = { $n }٪
or-more = { $percent } یا بیشتر
tokens = { $n } توکن
name-of-target = {"\u200F"}{ $name } ({ $target })
list-comma = {"\u200F"}،{" "}
list-more = { $names } و { $more } مورد دیگر
month-1 = ژانویه
month-2 = فوریه
month-3 = مارس
month-4 = آوریل
month-5 = مه
month-6 = ژوئن
month-7 = ژوئیه
month-8 = اوت
month-9 = سپتامبر
month-10 = اکتبر
month-11 = نوامبر
month-12 = دسامبر

## The frame of a message

subject = {"\u200F"}{ $target }: { $what }
subject-counts = { $new ->
    [0] { $resolved ->
        [0] { $firing } هشدار همچنان فعال
       *[other] { $resolved } برطرف‌شده، { $firing } فعال
    }
   *[other] { $resolved ->
        [0] { $new } جدید، { $firing } فعال
       *[other] { $new } جدید، { $resolved } برطرف‌شده، { $firing } فعال
    }
}
subject-resolved = { $count } مورد برطرف شد: { $names }
subject-still = همچنان: { $what }
subject-none = هیچ هشداری فعال نیست
several-targets = چند هدف
heading-new = جدید
heading-resolved = برطرف‌شده
heading-still = همچنان فعال
still = { $count } هشدار همچنان فعال است.
left-out-firing = … و { $count } هشدار فعال دیگر.
left-out-resolved = … و { $count } هشدار برطرف‌شدهٔ دیگر.
follow = { $count } هشدار دیگر در پیام بعدی می‌آید.
since = از { $date }
ended = پایان: { $date }
what-to-do = چه باید کرد
all-alerts = همهٔ هشدارها
runbook = راهنمای رفع مشکل
times-are = زمان‌ها به وقت { $zone } است.
sent-by = فرستاده‌شده از proxymeter به گیرندهٔ «{ $receiver }».
severity-critical = بحرانی
severity-warning = اخطار
severity-info = اطلاع
details-refused = سرور این پیام را با جزئیات نپذیرفت، برای همین جزئیات حذف شد. هشدارهای فعال در صفحهٔ خود proxymeter و در {"\u200E"}/api/v1/alerts دیده می‌شوند.

## Why an alert has ended

end-renewed = تمدید شد
end-topped-up = سقف تغییر کرد
end-reset = مصرف بازنشانی شد
end-recovered = به حالت عادی برگشت
ended-deleted = { $name } دیگر وجود ندارد.
ended-disabled = { $name } غیرفعال شد.
ended-clock-set = ساعت سیستم عقب کشیده شد و زمان { $name } هنوز نرسیده است.
ended-rule-removed = دیگر هیچ قانونی { $name } را بررسی نمی‌کند.
ended-target-replaced = { $name } مربوط به سیستم قبلی این هدف بود؛ این هدف اکنون سیستم دیگری است.

## Causes

cause-with-detail = {"\u200F"}{ $cause } ({ $detail })
cause-until = { $cause }، تا { $date }
cause-auth = نام کاربری، گذرواژه یا توکن پذیرفته نشد
cause-banned = نشانی proxymeter مسدود شده است
cause-client-error = درخواست رد شد
cause-connect = اتصال برقرار نشد
cause-decode = قالب پاسخ آن چیزی نیست که انتظار می‌رود
cause-forbidden = این حساب اجازهٔ خواندن ندارد
cause-interrupted = اتصال پیش از پایان پاسخ قطع شد
cause-not-found = در این نشانی چیزی نیست
cause-not-json = پاسخ یک صفحهٔ وب است: شاید در این نشانی چیز دیگری باشد
cause-rate-limited = سرور می‌خواهد که صبر کنیم
cause-redirect = سرور به نشانی دیگری هدایت می‌کند
cause-server-error = سرور خطای داخلی گزارش می‌کند
cause-timeout = پاسخ به‌موقع نرسید
cause-tls = گواهی یا رمزنگاری آن قابل استفاده نیست
cause-too-large = پاسخ بیش از حد بزرگ است
cause-quota-exceeded = سهمیه تمام شده است
cause-cloudflare-challenge = فایروال ارائه‌دهنده جلوی آن را می‌گیرد
cause-model-not-supported = اجازهٔ استفاده از این مدل را ندارد
cause-login-expired-or-revoked = ورود آن دیگر معتبر نیست
cause-payment-required = ارائه‌دهنده پرداخت می‌خواهد
cause-upstream-errors = ارائه‌دهنده خطا می‌دهد
cause-cooling-down = پس از خطا موقتاً کنار گذاشته شده است
cause-its-quota-is-used-up = سهمیه تمام شده است
cause-the-provider-s-firewall-stops-it = فایروال ارائه‌دهنده جلوی آن را می‌گیرد
cause-it-may-not-use-the-model = اجازهٔ استفاده از این مدل را ندارد
cause-its-login-has-ended = ورود آن دیگر معتبر نیست
cause-the-provider-refuses-it = ارائه‌دهنده آن را نمی‌پذیرد
cause-the-provider-asks-for-payment = ارائه‌دهنده پرداخت می‌خواهد
cause-the-provider-does-not-find-what-it-asks-for = ارائه‌دهنده چیزی را که خواسته شده پیدا نمی‌کند
cause-the-provider-fails = ارائه‌دهنده خطا می‌دهد
cause-it-cools-down = پس از خطا موقتاً کنار گذاشته شده است
cause-the-server-says-that-it-cannot-be-used = سرور می‌گوید قابل استفاده نیست
cause-unknown = علت معلوم نیست
cause-connecting = پنل در حال تلاش برای اتصال است
cause-error = پنل خطا گزارش می‌کند
cause-limited = حجم تمام شده است
cause-expired = اعتبار تمام شده است
cause-disabled = غیرفعال است
cause-its-data-limit-is-reached = حجم تمام شده است
cause-its-probes-fail = آزمایش‌های اتصال ناموفق‌اند
cause-the-panel-fails-on-it = پنل روی آن خطا می‌دهد
cause-it-is-larger-than-1-mib = بزرگ‌تر از {"\u200E"}1 MiB است
cause-it-is-not-an-object = شیء JSON نیست
cause-it-has-no-name = نام ندارد
cause-records-were-lost-and-another-reader-takes-some = بخشی از رکوردها گم شد و خوانندهٔ دیگری هم بخشی را برمی‌دارد
cause-records-were-lost = بخشی از رکوردها گم شد
cause-another-reader-takes-records = خوانندهٔ دیگری بخشی از رکوردها را برمی‌دارد
cause-not-writable = قابل نوشتن نیست
cause-the-file-cannot-be-used = فایل قابل استفاده نیست
cause-a-file-that-it-names-has-changed-and-cannot-be-used = فایلی که در آن نام برده شده تغییر کرده و قابل استفاده نیست

## Users

ProxymeterUserExpiry = اعتبار کاربر رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] اعتبار کاربر { $names } کمتر از { $step } دیگر تمام می‌شود
       *[other] اعتبار { $count } کاربر کمتر از { $step } دیگر تمام می‌شود ({ $names })
    }
    .head-last = { $count ->
        [1] اعتبار کاربر { $names } تمام شده است
       *[other] اعتبار { $count } کاربر تمام شده است ({ $names })
    }
    .firing = اعتبار کاربر { $name } { $when } تمام می‌شود، در { $date }.
    .last = اعتبار کاربر { $name } { $when } تمام شد، در { $date }.
    .over = { $holds ->
        [nothing] کاربر { $name } دیگر تاریخ پایان ندارد ({ $why }).
       *[known] کاربر { $name } تا { $day } اعتبار دارد ({ $why }).
    }
    .action = اشتراک را در پنل تمدید کنید یا از کاربر بپرسید که ادامه می‌دهد یا نه. اگر کاربر می‌رود، لازم نیست کاری بکنید.

ProxymeterUserQuota = حجم کاربر رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] کاربر { $names } { $step } از حجم خود را مصرف کرده است
       *[other] { $count } کاربر { $step } از حجم خود را مصرف کرده‌اند ({ $names })
    }
    .head-last = { $count ->
        [1] حجم کاربر { $names } تمام شده است
       *[other] حجم { $count } کاربر تمام شده است ({ $names })
    }
    .firing = { $holds ->
        [resets] کاربر { $name } { $percent } از حجم خود را مصرف کرده است ({ $used } از { $limit })؛ بازنشانی در { $day }.
       *[known] کاربر { $name } { $percent } از حجم خود را مصرف کرده است ({ $used } از { $limit }).
    }
    .last = { $holds ->
        [resets] حجم کاربر { $name } تمام شده است ({ $limit })؛ بازنشانی در { $day }.
       *[known] حجم کاربر { $name } تمام شده است ({ $limit }).
    }
    .over = { $holds ->
        [nothing] کاربر { $name } دیگر سقف حجم ندارد ({ $why }).
       *[known] کاربر { $name } { $percent } از حجم خود را مصرف کرده است ({ $used } از { $limit }؛ { $why }).
    }
    .action = سقف حجم را در پنل بالا ببرید، مصرف را بازنشانی کنید یا منتظر بازنشانی بمانید. وگرنه با رسیدن به 100٪ اتصال کاربر قطع می‌شود.

ProxymeterQuotaForecast = با سرعت فعلی، حجم کاربر به‌زودی تمام می‌شود.
    .head = { $count ->
        [1] حجم کاربر { $names } کمتر از { $step } دیگر تمام می‌شود
       *[other] حجم { $count } کاربر کمتر از { $step } دیگر تمام می‌شود ({ $names })
    }
    .firing = با سرعت سه روز گذشته (روزی { $daily })، حجم { $limit } کاربر { $name } { $when } تمام می‌شود، در { $day }.
    .over = { $holds ->
        [nothing] کاربر { $name } دیگر سقف حجم ندارد ({ $why }).
       *[known] حجم کاربر { $name } دیگر به این زودی تمام نمی‌شود: { $used } از { $limit } مصرف شده است ({ $why }).
    }
    .action = به کاربر خبر بدهید یا سقف حجم را در پنل بالا ببرید. اگر قرار است اتصال کاربر در آن زمان قطع شود، لازم نیست کاری بکنید.

ProxymeterUserStatus = کاربر نمی‌تواند وصل شود.
    .head = { $count ->
        [1] کاربر { $names } نمی‌تواند وصل شود
       *[other] { $count } کاربر نمی‌توانند وصل شوند ({ $names })
    }
    .firing = کاربر { $name } نمی‌تواند وصل شود: { $cause }.
    .over = کاربر { $name } پس از { $lasted } دوباره می‌تواند وصل شود ({ $times }).
    .action = اگر عمدی است، لازم نیست کاری بکنید. وگرنه اشتراک را تمدید کنید، سقف حجم را بالا ببرید یا کاربر را در پنل فعال کنید.

ProxymeterUserInactive = کاربر مدت زیادی آنلاین نبوده است.
    .head = { $count ->
        [1] کاربر { $names } دست‌کم { $step } است که آنلاین نبوده است
       *[other] { $count } کاربر دست‌کم { $step } است که آنلاین نبوده‌اند ({ $names })
    }
    .firing = { $holds ->
        [never] کاربر { $name } { $when } ساخته شد، در { $date }، و هرگز آنلاین نبوده است.
       *[known] کاربر { $name } آخرین بار { $when } آنلاین بود، در { $date }.
    }
    .over = { $holds ->
        [nothing] کاربر { $name } دیگر کاربر فعال نیست.
       *[known] کاربر { $name } { $when } دوباره آنلاین شد، در { $date }.
    }
    .action = بپرسید آیا این حساب هنوز لازم است. اگر نیست، آن را در پنل غیرفعال یا حذف کنید.

ProxymeterUserDevices = کاربر هم‌زمان از نشانی‌های بیش از حد مجاز استفاده می‌کند.
    .head = { $count ->
        [1] کاربر { $names } از نشانی‌های بیش از حد مجاز استفاده می‌کند
       *[other] { $count } کاربر از نشانی‌های بیش از حد مجاز استفاده می‌کنند ({ $names })
    }
    .firing = کاربر { $name } هم‌زمان از { $count } نشانی استفاده می‌کند؛ حد مجاز { $limit } است.
    .over = { $holds ->
        [nothing] کاربر { $name } دیگر کاربر فعال نیست، یا تعداد نشانی‌هایش محدود نیست.
       *[known] کاربر { $name } از { $count } نشانی استفاده می‌کند؛ حد مجاز { $limit } است.
    }
    .action = بپرسید آیا حساب مشترک استفاده می‌شود. اگر قرار است دستگاه‌های بیشتری وصل شوند، حد مجاز را بالا ببرید.

ProxymeterUserTraffic = کاربر در زمان کوتاهی ترافیک زیادی مصرف کرده است.
    .head = { $count ->
        [1] کاربر { $names } ترافیک زیادی مصرف می‌کند
       *[other] { $count } کاربر ترافیک زیادی مصرف می‌کنند ({ $names })
    }
    .firing = کاربر { $name } در { $time } { $used } مصرف کرده است؛ حد مجاز { $limit } است.
    .over = ترافیک کاربر { $name } دوباره کم شد؛ { $lasted } بیش از حد بود ({ $times }).
    .action = بپرسید آیا حساب مشترک استفاده می‌شود یا دستگاهی آلوده است. در صورت نیاز کاربر را در پنل محدود یا غیرفعال کنید.

## Admins

ProxymeterAdminQuota = حجم ادمین رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] ادمین { $names } { $step } از حجم خود را مصرف کرده است
       *[other] { $count } ادمین { $step } از حجم خود را مصرف کرده‌اند ({ $names })
    }
    .head-last = { $count ->
        [1] حجم ادمین { $names } تمام شده است
       *[other] حجم { $count } ادمین تمام شده است ({ $names })
    }
    .firing = کاربران ادمین { $name } { $percent } از حجم او را مصرف کرده‌اند ({ $used } از { $limit }).
    .last = کاربران ادمین { $name } همهٔ حجم او را مصرف کرده‌اند ({ $limit }).
    .over = { $holds ->
        [nothing] ادمین { $name } دیگر سقف حجم ندارد ({ $why }).
       *[known] کاربران ادمین { $name } { $percent } از حجم او را مصرف کرده‌اند ({ $used } از { $limit }؛ { $why }).
    }
    .action = سقف حجم را بالا ببرید، یا پس از پرداخت دورهٔ بعد مصرف ادمین را در پنل بازنشانی کنید.

## Inbounds and outbounds

ProxymeterInboundExpiry = اعتبار ورودی رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] اعتبار ورودی { $names } کمتر از { $step } دیگر تمام می‌شود
       *[other] اعتبار { $count } ورودی کمتر از { $step } دیگر تمام می‌شود ({ $names })
    }
    .head-last = { $count ->
        [1] اعتبار ورودی { $names } تمام شده است
       *[other] اعتبار { $count } ورودی تمام شده است ({ $names })
    }
    .firing = اعتبار ورودی { $name } { $when } تمام می‌شود، در { $date }.
    .last = اعتبار ورودی { $name } { $when } تمام شد، در { $date }. اتصال همهٔ کلاینت‌های آن قطع است.
    .over = { $holds ->
        [nothing] ورودی { $name } دیگر تاریخ پایان ندارد ({ $why }).
       *[known] ورودی { $name } تا { $day } اعتبار دارد ({ $why }).
    }
    .action = تاریخ پایان دیرتری در پنل بگذارید. در پایان، اتصال همهٔ کلاینت‌های این ورودی قطع می‌شود.

ProxymeterInboundQuota = حجم ورودی رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] ورودی { $names } { $step } از حجم خود را مصرف کرده است
       *[other] { $count } ورودی { $step } از حجم خود را مصرف کرده‌اند ({ $names })
    }
    .head-last = { $count ->
        [1] حجم ورودی { $names } تمام شده است
       *[other] حجم { $count } ورودی تمام شده است ({ $names })
    }
    .firing = ورودی { $name } { $percent } از حجم خود را مصرف کرده است ({ $used } از { $limit }).
    .last = حجم ورودی { $name } تمام شده است ({ $limit }). اتصال همهٔ کلاینت‌های آن قطع است.
    .over = { $holds ->
        [nothing] ورودی { $name } دیگر سقف حجم ندارد ({ $why }).
       *[known] ورودی { $name } { $percent } از حجم خود را مصرف کرده است ({ $used } از { $limit }؛ { $why }).
    }
    .action = سقف حجم را در پنل بالا ببرید یا مصرف را بازنشانی کنید. با رسیدن به 100٪ اتصال همهٔ کلاینت‌های این ورودی قطع می‌شود.

ProxymeterOutboundDown = خروجی از کار افتاده است.
    .head = { $count ->
        [1] خروجی { $names } از کار افتاده است
       *[other] { $count } خروجی از کار افتاده‌اند ({ $names })
    }
    .firing = خروجی { $name } از کار افتاده است: { $cause }.
    .over = خروجی { $name } دوباره کار می‌کند؛ { $lasted } از کار افتاده بود ({ $times }).
    .action = بررسی کنید که سرور پشت این خروجی روشن است و از میزبان پنل در دسترس است.

## Targets

ProxymeterTargetDown = هدف آن‌طور که باید پاسخ نمی‌دهد.
    .head = { $count ->
        [1] خواندن اطلاعات { $names } ممکن نیست
       *[other] خواندن اطلاعات { $count } هدف ممکن نیست ({ $names })
    }
    .firing = خواندن اطلاعات { $name } ممکن نیست: { $cause }.
    .over = { $name } دوباره پاسخ می‌دهد؛ { $lasted } خواندن اطلاعاتش ممکن نبود ({ $times }).
    .action = نشانی پنل را از دستگاهی که proxymeter روی آن است باز کنید و ببینید پنل روشن است یا نه. تا وقتی پاسخ ندهد، چیز دیگری از آن معلوم نیست.

ProxymeterLoginRefused = هدف ورود را نمی‌پذیرد.
    .head = { $count ->
        [1] { $names } ورود را نمی‌پذیرد
       *[other] { $count } هدف ورود را نمی‌پذیرند ({ $names })
    }
    .firing = { $name } ورود را نمی‌پذیرد: { $cause }. تلاش دوباره با فاصلهٔ زیاد انجام می‌شود تا حساب قفل نشود.
    .over = { $name } دوباره ورود را می‌پذیرد؛ { $lasted } نمی‌پذیرفت ({ $times }).
    .action = نام کاربری، گذرواژه یا توکن را در پیکربندی بررسی کنید و آن را دوباره بارگذاری کنید.

ProxymeterPartStale = بخشی از هدف مدتی است خوانده نشده است.
    .head = { $count ->
        [1] بخش { $names } خوانده نمی‌شود
       *[other] { $count } بخش خوانده نمی‌شوند ({ $names })
    }
    .firing = بخش { $name } آخرین بار { $time } پیش خوانده شد.
    .over = بخش { $name } دوباره خوانده می‌شود؛ { $lasted } خوانده نمی‌شد ({ $times }).
    .action = علت در صفحهٔ وضعیت است. اگر پنل خیلی کند است، مهلت پاسخ را بیشتر کنید یا بار پنل را کم کنید.

ProxymeterRightLost = حساب دیگر اجازهٔ خواندن بخشی از هدف را ندارد.
    .head = { $count ->
        [1] حساب دیگر اجازهٔ خواندن بخش { $names } را ندارد
       *[other] حساب دیگر اجازهٔ خواندن { $count } بخش را ندارد ({ $names })
    }
    .firing = حساب دیگر اجازهٔ خواندن بخش { $name } را ندارد. مقدارهای آن به‌روز نمی‌شوند.
    .over = حساب پس از { $lasted } دوباره می‌تواند بخش { $name } را بخواند ({ $times }).
    .action = دسترسی حساب را در پنل برگردانید یا این بخش را از این قانون کنار بگذارید.

ProxymeterRowsUnreadable = بخشی از فهرست کاربران خوانده نمی‌شود.
    .head = { $count ->
        [1] بخشی از فهرست کاربران { $names } خوانده نمی‌شود
       *[other] بخشی از فهرست کاربران { $count } هدف خوانده نمی‌شود ({ $names })
    }
    .firing = { $count ->
        [1] 1 کاربر از { $name } خوانده نمی‌شود: { $cause }.
       *[other] { $count } کاربر از { $name } خوانده نمی‌شوند. علت اولین مورد: { $cause }.
    }
    .over = همهٔ کاربران { $name } پس از { $lasted } دوباره خوانده می‌شوند ({ $times }).
    .action = شمارهٔ ردیف‌ها در لاگ است. این کاربران در متریک‌ها و هشدارها نیستند؛ آن‌ها را در پنل اصلاح یا حذف کنید.

ProxymeterAccountingStalled = ترافیک پروکسی یک هدف یا یک نود دیگر شمرده نمی‌شود.
    .head = { $count ->
        [1] ترافیک { $names } شمرده نمی‌شود
       *[other] ترافیک { $count } مورد شمرده نمی‌شود ({ $names })
    }
    .firing = { $kind ->
        [node] { $time } است که ترافیکی روی نود { $name } شمرده نشده، با اینکه کاربران فعال‌اند.
       *[target] { $time } است که ترافیکی روی { $name } شمرده نشده، با اینکه کاربران فعال‌اند.
    }
    .over = { $kind ->
        [node] ترافیک نود { $name } دوباره شمرده می‌شود؛ { $lasted } شمرده نمی‌شد ({ $times }).
       *[target] ترافیک { $name } دوباره شمرده می‌شود؛ { $lasted } شمرده نمی‌شد ({ $times }).
    }
    .action = یک بار به‌عنوان کاربر وصل شوید. اگر کار می‌کند، هسته یا نود را دوباره راه‌اندازی کنید: پنل شمارنده‌هایش را از دست داده است.

ProxymeterCertificateExpiry = اعتبار گواهی رو به پایان است.
    .head = { $count ->
        [1] اعتبار گواهی { $names } کمتر از { $step } دیگر تمام می‌شود
       *[other] اعتبار { $count } گواهی کمتر از { $step } دیگر تمام می‌شود ({ $names })
    }
    .head-last = { $count ->
        [1] اعتبار گواهی { $names } تمام شده است
       *[other] اعتبار { $count } گواهی تمام شده است ({ $names })
    }
    .firing = اعتبار گواهی { $name } { $when } تمام می‌شود، در { $date }.
    .last = اعتبار گواهی { $name } { $when } تمام شد، در { $date }.
    .over = گواهی { $name } تا { $day } معتبر است ({ $why }).
    .action = گواهی را تمدید کنید و پنل یا پروکسی جلوی آن را دوباره راه‌اندازی کنید.

ProxymeterHostCpu = بار پردازنده زیاد است.
    .head = { $count ->
        [1] بار پردازندهٔ { $names } به { $step } رسیده است
       *[other] بار پردازندهٔ { $count } میزبان به { $step } رسیده است ({ $names })
    }
    .firing = بار پردازندهٔ { $name } { $percent } است.
    .over = بار پردازندهٔ { $name } { $percent } است؛ { $lasted } بیش از حد بود.
    .action = با top ببینید چه چیزی پردازنده را گرفته است. اگر هستهٔ پروکسی است، کاربران را به نودهای دیگر ببرید.

ProxymeterHostMemory = حافظه تقریباً پر است.
    .head = { $count ->
        [1] حافظهٔ { $names } تا { $step } پر شده است
       *[other] حافظهٔ { $count } میزبان تا { $step } پر شده است ({ $names })
    }
    .firing = { $percent } از حافظهٔ { $name } پر است.
    .over = { $percent } از حافظهٔ { $name } پر است؛ { $lasted } بیش از حد پر بود.
    .action = با free و ps ببینید چه چیزی بزرگ شده، آن را دوباره راه‌اندازی کنید یا به میزبان حافظهٔ بیشتری بدهید.

ProxymeterHostDisk = دیسک تقریباً پر است.
    .head = { $count ->
        [1] دیسک { $names } تا { $step } پر شده است
       *[other] دیسک { $count } میزبان تا { $step } پر شده است ({ $names })
    }
    .firing = { $percent } از دیسک { $name } پر است.
    .over = { $percent } از دیسک { $name } پر است؛ { $lasted } بیش از حد پر بود.
    .action = لاگ‌ها، لاگ‌های کانتینرها و پشتیبان‌های قدیمی را پاک کنید یا چرخش لاگ را فعال کنید. دیسک پر پایگاه دادهٔ پنل را از کار می‌اندازد.

## Nodes

ProxymeterNodeDown = نود قطع است.
    .head = { $count ->
        [1] نود { $names } قطع است
       *[other] { $count } نود قطع‌اند ({ $names })
    }
    .firing = نود { $name } قطع است: { $cause }.
    .over = نود { $name } دوباره وصل شد؛ { $lasted } قطع بود ({ $times }).
    .action = بررسی کنید که سرور نود و سرویس آن کار می‌کنند، سپس نود را در پنل دوباره وصل کنید.

ProxymeterNodeCpu = بار پردازندهٔ نود زیاد است.
    .head = { $count ->
        [1] بار پردازندهٔ نود { $names } به { $step } رسیده است
       *[other] بار پردازندهٔ { $count } نود به { $step } رسیده است ({ $names })
    }
    .firing = بار پردازندهٔ نود { $name } { $percent } است.
    .over = بار پردازندهٔ نود { $name } { $percent } است؛ { $lasted } بیش از حد بود.
    .action = کاربران را به نودهای دیگر ببرید یا به نود هسته‌های CPU بیشتری بدهید.

ProxymeterNodeMemory = حافظهٔ نود تقریباً پر است.
    .head = { $count ->
        [1] حافظهٔ نود { $names } تا { $step } پر شده است
       *[other] حافظهٔ { $count } نود تا { $step } پر شده است ({ $names })
    }
    .firing = { $percent } از حافظهٔ نود { $name } پر است.
    .over = { $percent } از حافظهٔ نود { $name } پر است؛ { $lasted } بیش از حد پر بود.
    .action = با free و ps ببینید چه چیزی بزرگ شده، آن را دوباره راه‌اندازی کنید یا به نود حافظهٔ بیشتری بدهید.

ProxymeterNodeTraffic = ترافیک ماهانهٔ نود رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] نود { $names } { $step } از ترافیک ماهانهٔ خود را مصرف کرده است
       *[other] { $count } نود { $step } از ترافیک ماهانهٔ خود را مصرف کرده‌اند ({ $names })
    }
    .head-last = { $count ->
        [1] ترافیک ماهانهٔ نود { $names } تمام شده است
       *[other] ترافیک ماهانهٔ { $count } نود تمام شده است ({ $names })
    }
    .firing = نود { $name } { $percent } از ترافیک ماهانهٔ خود را مصرف کرده است ({ $used } از { $limit })؛ ماه بعد در { $day } آغاز می‌شود.
    .last = ترافیک ماهانهٔ نود { $name } تمام شده است ({ $limit })؛ ماه بعد در { $day } آغاز می‌شود.
    .over = { $holds ->
        [nothing] نود { $name } دیگر سهمیهٔ ترافیک ندارد ({ $why }).
       *[known] نود { $name } { $percent } از ترافیک ماهانهٔ خود را مصرف کرده است ({ $used } از { $limit }؛ { $why }).
    }
    .action = پیش از آنکه میزبان سرعت را کم کند یا هزینه بگیرد، کاربران را به نودهای دیگر ببرید یا ترافیک بیشتری بخرید.

ProxymeterCoreDown = هستهٔ پروکسی از کار افتاده است یا پیاپی از کار می‌افتد.
    .head = { $count ->
        [1] هستهٔ پروکسی { $names } از کار افتاده است یا پیاپی از کار می‌افتد
       *[other] { $count } هستهٔ پروکسی از کار افتاده‌اند یا پیاپی از کار می‌افتند ({ $names })
    }
    .firing = { $kind ->
        [node] هستهٔ پروکسی نود { $name } در { $percent } از 5 دقیقهٔ گذشته از کار افتاده بود.
       *[target] هستهٔ پروکسی { $name } در { $percent } از 5 دقیقهٔ گذشته از کار افتاده بود.
    }
    .over = { $kind ->
        [node] هستهٔ پروکسی نود { $name } دوباره کار می‌کند؛ { $lasted } از کار افتاده بود یا پیاپی از کار می‌افتاد ({ $times }).
       *[target] هستهٔ پروکسی { $name } دوباره کار می‌کند؛ { $lasted } از کار افتاده بود یا پیاپی از کار می‌افتاد ({ $times }).
    }
    .action = لاگ هسته را در پنل بخوانید: بیشتر وقت‌ها خطایی در پیکربندی آن است یا حافظه کم است.

## LLM proxies

ProxymeterCredentialUnavailable = اعتبارنامهٔ ارائه‌دهنده قابل استفاده نیست.
    .head = { $count ->
        [1] اعتبارنامهٔ { $names } قابل استفاده نیست
       *[other] { $count } اعتبارنامه قابل استفاده نیستند ({ $names })
    }
    .firing = اعتبارنامهٔ { $name } قابل استفاده نیست: { $cause }.
    .over = اعتبارنامهٔ { $name } دوباره قابل استفاده است؛ { $lasted } نبود ({ $times }).
    .action = اگر ورود آن دیگر معتبر نیست، روی سرور دوباره وارد شوید. اگر سهمیه تمام شده، صبر کنید یا اعتبارنامهٔ دیگری اضافه کنید.

ProxymeterCredentialQuota = بازهٔ سهمیهٔ اعتبارنامه رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] { $step } از بازهٔ سهمیهٔ { $names } مصرف شده است
       *[other] { $count } بازهٔ سهمیه به { $step } رسیده‌اند ({ $names })
    }
    .head-last = { $count ->
        [1] بازهٔ سهمیهٔ { $names } تمام شده است
       *[other] { $count } بازهٔ سهمیه تمام شده‌اند ({ $names })
    }
    .firing = { $holds ->
        [resets] { $percent } از بازهٔ سهمیهٔ { $name } مصرف شده است؛ { $when } از نو شروع می‌شود، در { $date }.
       *[known] { $percent } از بازهٔ سهمیهٔ { $name } مصرف شده است.
    }
    .last = { $holds ->
        [resets] بازهٔ سهمیهٔ { $name } تمام شده است؛ { $when } از نو شروع می‌شود، در { $date }.
       *[known] بازهٔ سهمیهٔ { $name } تمام شده است.
    }
    .over = { $holds ->
        [nothing] بازهٔ سهمیهٔ { $name } از نو شروع شده است.
       *[known] { $percent } از بازهٔ سهمیهٔ { $name } مصرف شده است ({ $why }).
    }
    .action = منتظر شروع بازهٔ بعدی بمانید، اعتبارنامه‌ای اضافه کنید یا کلاینت‌ها را به ارائه‌دهندهٔ دیگری ببرید.

ProxymeterCredentialPlanExpiry = طرح پولی اعتبارنامه رو به پایان است.
    .head = { $count ->
        [1] طرح اعتبارنامهٔ { $names } کمتر از { $step } دیگر تمام می‌شود
       *[other] طرح { $count } اعتبارنامه کمتر از { $step } دیگر تمام می‌شود ({ $names })
    }
    .head-last = { $count ->
        [1] طرح اعتبارنامهٔ { $names } تمام شده است
       *[other] طرح { $count } اعتبارنامه تمام شده است ({ $names })
    }
    .firing = طرح اعتبارنامهٔ { $name } { $when } تمام می‌شود، در { $date }.
    .last = طرح اعتبارنامهٔ { $name } { $when } تمام شد، در { $date }.
    .over = { $holds ->
        [nothing] تاریخ پایان طرح اعتبارنامهٔ { $name } دیگر معلوم نیست ({ $why }).
       *[known] طرح اعتبارنامهٔ { $name } تا { $day } اعتبار دارد ({ $why }).
    }
    .action = طرح را نزد ارائه‌دهنده تمدید کنید یا پیش از پایان آن اعتبارنامهٔ دیگری اضافه کنید.

ProxymeterLlmErrorRatio = بسیاری از تلاش‌ها نزد یک ارائه‌دهندهٔ LLM ناموفق‌اند.
    .head = { $count ->
        [1] بسیاری از تلاش‌ها نزد ارائه‌دهندهٔ { $names } ناموفق‌اند
       *[other] بسیاری از تلاش‌ها نزد { $count } ارائه‌دهنده ناموفق‌اند ({ $names })
    }
    .firing = نزد ارائه‌دهندهٔ { $name }، { $percent } از تلاش‌های 10 دقیقهٔ گذشته ناموفق بود ({ $failed } از { $all }).
    .over = { $holds ->
        [nothing] نزد ارائه‌دهندهٔ { $name } تلاش‌ها دیگر به‌ندرت ناموفق‌اند؛ { $lasted } بسیاری ناموفق بودند.
       *[known] نزد ارائه‌دهندهٔ { $name }، { $percent } از تلاش‌های 10 دقیقهٔ گذشته ناموفق بود ({ $failed } از { $all })؛ { $lasted } بیشتر بود.
    }
    .action = صفحهٔ وضعیت ارائه‌دهنده و لاگ سرور را ببینید. در این فاصله کلاینت‌ها را به ارائه‌دهندهٔ دیگری ببرید.

ProxymeterLlmTokenBudget = بودجهٔ توکن کلید کلاینت رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] کلید کلاینت { $names } { $step } از بودجهٔ توکن خود را مصرف کرده است
       *[other] { $count } کلید کلاینت { $step } از بودجهٔ توکن خود را مصرف کرده‌اند ({ $names })
    }
    .head-last = { $count ->
        [1] بودجهٔ توکن کلید کلاینت { $names } تمام شده است
       *[other] بودجهٔ توکن { $count } کلید کلاینت تمام شده است ({ $names })
    }
    .firing = { $period ->
        [day] کلید کلاینت { $name } { $percent } از بودجهٔ روزانهٔ خود را مصرف کرده است ({ $used } از { $limit }).
       *[month] کلید کلاینت { $name } { $percent } از بودجهٔ ماهانهٔ خود را مصرف کرده است ({ $used } از { $limit }).
    }
    .last = { $period ->
        [day] بودجهٔ روزانهٔ کلید کلاینت { $name } تمام شده است ({ $limit }).
       *[month] بودجهٔ ماهانهٔ کلید کلاینت { $name } تمام شده است ({ $limit }).
    }
    .over = { $holds ->
        [nothing] بودجهٔ کلید کلاینت { $name } از نو شروع شده است ({ $why }).
       *[known] { $period ->
            [day] کلید کلاینت { $name } { $percent } از بودجهٔ روزانهٔ خود را مصرف کرده است ({ $used } از { $limit }؛ { $why }).
           *[month] کلید کلاینت { $name } { $percent } از بودجهٔ ماهانهٔ خود را مصرف کرده است ({ $used } از { $limit }؛ { $why }).
        }
    }
    .action = بپرسید چه کسی از این کلید استفاده می‌کند، بودجه را بالا ببرید یا کلید را پس بگیرید. proxymeter فقط هشدار می‌دهد و کلید را از کار نمی‌اندازد.

ProxymeterLlmCostBudget = بودجهٔ هزینهٔ کلید کلاینت رو به پایان است یا تمام شده است.
    .head = { $count ->
        [1] کلید کلاینت { $names } { $step } از بودجهٔ هزینهٔ خود را مصرف کرده است
       *[other] { $count } کلید کلاینت { $step } از بودجهٔ هزینهٔ خود را مصرف کرده‌اند ({ $names })
    }
    .head-last = { $count ->
        [1] بودجهٔ هزینهٔ کلید کلاینت { $names } تمام شده است
       *[other] بودجهٔ هزینهٔ { $count } کلید کلاینت تمام شده است ({ $names })
    }
    .firing = { $period ->
        [day] کلید کلاینت { $name } { $percent } از بودجهٔ روزانهٔ خود را مصرف کرده است ({ $used } از { $limit }).
       *[month] کلید کلاینت { $name } { $percent } از بودجهٔ ماهانهٔ خود را مصرف کرده است ({ $used } از { $limit }).
    }
    .last = { $period ->
        [day] بودجهٔ روزانهٔ کلید کلاینت { $name } تمام شده است ({ $limit }).
       *[month] بودجهٔ ماهانهٔ کلید کلاینت { $name } تمام شده است ({ $limit }).
    }
    .over = { $holds ->
        [nothing] بودجهٔ کلید کلاینت { $name } از نو شروع شده است ({ $why }).
       *[known] { $period ->
            [day] کلید کلاینت { $name } { $percent } از بودجهٔ روزانهٔ خود را مصرف کرده است ({ $used } از { $limit }؛ { $why }).
           *[month] کلید کلاینت { $name } { $percent } از بودجهٔ ماهانهٔ خود را مصرف کرده است ({ $used } از { $limit }؛ { $why }).
        }
    }
    .action = بپرسید چه کسی از این کلید استفاده می‌کند، بودجه را بالا ببرید یا کلید را پس بگیرید. proxymeter فقط هشدار می‌دهد و کلید را از کار نمی‌اندازد.

ProxymeterLlmUsageGap = مصرف یک پروکسی LLM کامل شمرده نمی‌شود.
    .head = { $count ->
        [1] مصرف { $names } کامل شمرده نمی‌شود
       *[other] مصرف { $count } هدف کامل شمرده نمی‌شود ({ $names })
    }
    .firing = مصرف { $name } کامل شمرده نمی‌شود: { $cause }.
    .over = در یک ساعت گذشته مصرفی از { $name } گم نشده است. آنچه پیش از آن گم شد، برنمی‌گردد.
    .action = بگذارید فقط یک برنامه صف مصرف سرور را بخواند و proxymeter را بدون وقفهٔ طولانی روشن نگه دارید.

## proxymeter itself

ProxymeterTest = آزمایش گیرنده.
    .head = این یک آزمایش است
    .firing = این آزمایش گیرندهٔ { $name } است که دستی فرستاده شده. مشکلی نیست.
    .over = این آزمایش گیرندهٔ { $name } بود.
    .action = کاری لازم نیست.

ProxymeterStorageFailing = محل ذخیره قابل نوشتن نیست.
    .head = محل ذخیره قابل نوشتن نیست
    .firing = محل ذخیره قابل نوشتن نیست: هشدارها و اعلان‌ها فقط در حافظه می‌مانند و اگر proxymeter از کار بیفتد، از دست می‌روند.
    .over = محل ذخیره دوباره قابل نوشتن است؛ { $lasted } نبود ({ $times }).
    .action = علت در لاگ است؛ رایج‌ترین علت، پر شدن دیسک است.

ProxymeterUsageHistoryFailing = تاریخچهٔ مصرف قابل نوشتن نیست.
    .head = تاریخچهٔ مصرف قابل نوشتن نیست
    .firing = تاریخچهٔ مصرف قابل نوشتن نیست: مصرف روزانه و ماهانه فقط در حافظه می‌ماند و اگر proxymeter متوقف شود، در روزی دیرتر حساب می‌شود.
    .over = تاریخچهٔ مصرف دوباره قابل نوشتن است؛ { $lasted } نبود ({ $times }).
    .action = علت در لاگ است؛ رایج‌ترین علت، پر شدن دیسک است.

ProxymeterReloadFailed = پیکربندی بارگذاری نشد.
    .head = پیکربندی بارگذاری نشد
    .firing = آخرین بارگذاری دوباره ناموفق بود: { $cause }. پیکربندی قبلی همچنان برقرار است.
    .over = پیکربندی تازه در کار است؛ { $lasted } بارگذاری دوباره ممکن نبود ({ $times }).
    .action = دستور proxymeter check-config را اجرا کنید: فایل، خط و کلید را نشان می‌دهد.

ProxymeterHeartbeatWithheld = ضربان فرستاده نمی‌شود.
    .head = ضربان فرستاده نمی‌شود
    .firing = ضربان (heartbeat) فرستاده نمی‌شود: { $cause }.
    .over = ضربان (heartbeat) دوباره فرستاده می‌شود؛ { $lasted } فرستاده نمی‌شد ({ $times }).
    .action = هشدارهای دیگر و لاگ را ببینید: وقتی خواندن یا فرستادن متوقف شود، ضربان هم متوقف می‌شود.

ProxymeterNotificationsFailing = یک گیرنده اعلان‌ها را نمی‌پذیرد.
    .head = { $count ->
        [1] گیرندهٔ { $names } اعلان‌ها را نمی‌پذیرد
       *[other] { $count } گیرنده اعلان‌ها را نمی‌پذیرند ({ $names })
    }
    .firing = گیرندهٔ { $name } اعلان‌ها را نمی‌پذیرد: { $cause }.
    .over = گیرندهٔ { $name } دوباره اعلان‌ها را می‌پذیرد؛ { $lasted } نمی‌پذیرفت ({ $times }).
    .action = دستور proxymeter test-notification را با نام گیرنده اجرا کنید و نشانی، ورود یا توکن آن را اصلاح کنید. آنچه در صف است سه روز نگه داشته می‌شود.

ProxymeterNotificationsAbandoned = فرستادن برخی اعلان‌ها رها شد.
    .head = { $count ->
        [1] فرستادن اعلان‌ها به گیرندهٔ { $names } رها شد
       *[other] فرستادن اعلان‌ها به { $count } گیرنده رها شد ({ $names })
    }
    .firing = فرستادن { $count } اعلان به گیرندهٔ { $name } رها شد.
    .over = در یک ساعت گذشته فرستادن هیچ اعلانی به گیرندهٔ { $name } رها نشده است. اعلان‌های رهاشدهٔ پیشین فرستاده نمی‌شوند.
    .action = علت در لاگ است. هشدارهای فعال در صفحهٔ وضعیت و در {"\u200E"}/api/v1/alerts دیده می‌شوند؛ proxymeter replay-notifications اعلان‌ها را دوباره می‌فرستد.

## The daily digest

digest-title = گزارش روزانه، { $day }
digest-title-with = {"\u200F"}{ $title }: { $parts }
digest-count-outages = { $count } قطعی
digest-count-expiring = اعتبار { $count } کاربر رو به پایان است
digest-count-used = حجم { $count } کاربر رو به پایان است
digest-heading-late = این گزارش دیر رسیده است
digest-late = باید در { $due } فرستاده می‌شد و همهٔ تغییرها از { $since } را در بر دارد.
digest-heading-nothing = چیزی برای گزارش نیست
digest-nothing = از { $since } چیزی تغییر نکرده و اعتبار یا حجم هیچ کاربری رو به پایان نیست.
digest-heading-outages = { $target }: قطعی‌ها
digest-heading-expiring = { $target }: کاربرانی که اعتبارشان رو به پایان است
digest-heading-used = { $target }: کاربرانی که حجمشان رو به پایان است
digest-heading-used-up = { $target }: کاربرانی که با سرعت سه روز گذشته حجمشان به‌زودی تمام می‌شود
digest-heading-renewed = { $target }: کاربران تمدیدشده
digest-heading-reset = { $target }: کاربرانی که حجم بیشتری در اختیار دارند
digest-heading-new = { $target }: کاربران جدید
digest-heading-gone = { $target }: کاربران حذف‌شده
digest-outage-target = اطلاعات { $name } به مدت { $lasted } خوانده نمی‌شد، از { $date }
digest-outage-target-now = اطلاعات { $name } از { $date } خوانده نمی‌شود، تاکنون { $lasted }
digest-outage-node = نود { $name } به مدت { $lasted } قطع بود، از { $date }
digest-outage-node-now = نود { $name } از { $date } قطع است، تاکنون { $lasted }
digest-outage-outbound = خروجی { $name } به مدت { $lasted } قطع بود، از { $date }
digest-outage-outbound-now = خروجی { $name } از { $date } قطع است، تاکنون { $lasted }
digest-outage-credential = اعتبارنامهٔ { $name } به مدت { $lasted } قابل استفاده نبود، از { $date }
digest-outage-credential-now = اعتبارنامهٔ { $name } از { $date } قابل استفاده نیست، تاکنون { $lasted }
digest-outages = { $last } (آخرین مورد از { $count } قطعی، در مجموع { $lasted })
digest-heading-top = { $target }: بیشترین ترافیک در { $day }
digest-used = {"\u200F"}{ $name }: { $used }
digest-used-note = {"\u200F"}{ $name }: { $used } ({ $note })
digest-note-gap = دقیق نیست: مدتی چیزی خوانده نشد
digest-note-reset = بدون آنچه درست پیش از صفر شدن شمارنده مصرف شده
digest-expires = {"\u200F"}{ $name }: { $when } ({ $date })
digest-uses = { $name }: { $percent } ({ $used } از { $limit })
digest-renewed = { $name }: تا { $day }
digest-renewed-forever = { $name }: بدون تاریخ پایان
digest-reset = { $name }: مصرف { $used } از { $limit }، پیش‌تر { $before }
digest-raised = { $name }: مصرف { $used } از { $limit }، سقف قبلی { $before }
digest-unlimited = { $name }: مصرف { $used }، سقف { $before } برداشته شد
digest-more = … و { $count } مورد دیگر

## The monthly statement

statement-title = صورت‌حساب { $month }: { $target }
statement-title-admin = صورت‌حساب { $month }: { $target }، { $admin }
statement-heading-sum = جمع
statement-period = دوره: { $period }
statement-period-since = دوره: { $period } (پیش از { $since } داده‌ای نیست)
statement-total = ترافیک: { $used } ({ $bytes } بایت)
statement-limit = اکنون { $percent } از سقف مصرف شده است ({ $used } از { $limit })
statement-users = کاربران در حال حاضر: { $count }
statement-active = کاربران دارای ترافیک در این ماه: { $count }
statement-others = { $used } از این ترافیک از کاربرانی است که اکنون مدیر دیگری دارند
statement-elsewhere = جدول { $used } بیش از جمع دارد، از کاربرانی که پیش‌تر مدیر دیگری داشتند
statement-unread = پنل از { $date } خوانده نشده است، بنابراین آنچه پس از آن مصرف شده در جمع نیست.
statement-gap = مدتی در پایان یکی از ماه‌ها چیزی خوانده نشد، بنابراین بخشی از ترافیک ممکن است از ماه دیگری باشد.
statement-reset = پنل شمارنده‌ها را صفر کرده است؛ آنچه درست پیش از آن مصرف شده در جمع نیست.
statement-heading-top = بیشترین ترافیک
statement-heading-table = جدول
statement-table = { $file } برای هر کاربر دارای ترافیک یک سطر دارد ({ $rows }).
statement-table-first = { $file } شامل { $rows } کاربر با بیشترین ترافیک است؛ { $more } کاربر دیگر در آن نیستند.
